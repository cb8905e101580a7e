import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { SessionOptions } from '#models/runtime/session.ts';
import { brightness } from './brightness.ts';
import type { BuiltInReward } from './built-in.ts';
import { colourfulness } from './colourfulness.ts';
import { compressibility } from './compressibility.ts';
import { incompressibility } from './incompressibility.ts';
import { createOnnxReward } from './onnx.ts';
import { createPromptAgreement, promptAgreement } from './prompt-agreement.ts';
import { symmetry } from './symmetry.ts';
import type { Reward } from './types.ts';
import { warmth } from './warmth.ts';

/** The rewards that ship, by name. */
export const builtInRewards: ReadonlyMap<string, BuiltInReward> = new Map(
  [brightness, colourfulness, compressibility, incompressibility, symmetry, warmth].map((r) => [r.name, r]),
);

/** What a reward may use of this machine. */
export interface RewardHost {
  readonly threads?: number | undefined;
  /** `auto` and absent mean the CPU, whose scores are the same everywhere. */
  readonly provider?: NonNullable<SessionOptions['provider']> | 'auto' | undefined;
  readonly seed?: number | undefined;
}

/**
 * A reward from its specification: `name`, `name:key=value,…` or `onnx:PATH`. Close it when done.
 * @throws {NorthlightError} `reward/unknown`, `reward/option`, or what an ONNX reward throws.
 */
export async function createReward(spec: string, host: RewardHost = {}): Promise<Reward> {
  const colon = spec.indexOf(':');
  const name = colon < 0 ? spec : spec.slice(0, colon);
  const rest = colon < 0 ? '' : spec.slice(colon + 1);
  const { provider, threads } = host;
  const session: SessionOptions = {
    ...(provider === undefined || provider === 'auto' ? {} : { provider }),
    ...(threads === undefined ? {} : { threads }),
  };
  if (name === 'onnx') return createOnnxReward(rest, session);
  if (name === promptAgreement.name) {
    return createPromptAgreement(
      parseOptions(promptAgreement, rest) as z.output<typeof promptAgreement.options>,
      session,
    );
  }
  const builtIn = builtInRewards.get(name);
  if (builtIn === undefined) {
    throw new NorthlightError(
      'reward/unknown',
      `There is no reward "${name}".`,
      `Use one of ${[...builtInRewards.keys(), promptAgreement.name].join(', ')}, or onnx:PATH.`,
    );
  }
  return open(builtIn, parseOptions(builtIn, rest), spec);
}

function parseOptions(
  { name, options }: Pick<BuiltInReward, 'name' | 'options'>,
  text: string,
): Record<string, unknown> {
  const known = Object.keys(options.shape);
  const refuse = (why: string) =>
    new NorthlightError(
      'reward/option',
      `Reward "${name}": ${why}.`,
      known.length === 0 ? 'It has no options.' : `Its options are ${known.map((k) => `${k}=…`).join(', ')}.`,
    );
  const given = text === '' ? [] : text.split(',').map((part) => part.split('='));
  for (const parts of given) if (parts.length !== 2) throw refuse(`"${parts.join('=')}" is not key=value`);
  const parsed = z.safeParse(options, Object.fromEntries(given));
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw refuse(`${issue.path.join('.') || 'options'}: ${issue.message}`);
  }
  return parsed.data;
}

function open(builtIn: BuiltInReward, options: Record<string, unknown>, spec: string): Reward {
  return {
    name: spec,
    higherIsBetter: true,
    async score(items) {
      const scores = new Float32Array(items.length);
      for (const [i, item] of items.entries()) {
        if (item.kind !== 'image') {
          throw new NorthlightError(
            'reward/kind',
            `Item ${i} is a sequence, and the reward "${builtIn.name}" scores pictures.`,
            'Choose a reward of sequences.',
          );
        }
        scores[i] = await builtIn.score(item, options);
      }
      return scores;
    },
    close: async () => {},
  };
}
