import type { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import type { SessionOptions } from '#models/runtime/session.ts';
import { balance } from './balance.ts';
import { bitsPerPixel } from './bits-per-pixel.ts';
import { brightness } from './brightness.ts';
import type { BuiltInReward } from './built-in.ts';
import { colourfulness } from './colourfulness.ts';
import { type Combination, type CombinedReward, combineRewards, type Weighted } from './combine.ts';
import { createCommandReward } from './command.ts';
import { compressibility } from './compressibility.ts';
import { contrast } from './contrast.ts';
import { edgeDensity } from './edge-density.ts';
import { createExpressionReward } from './expression.ts';
import { type GuardedReward, guarded } from './guarded.ts';
import { incompressibility } from './incompressibility.ts';
import { createModuleReward } from './module.ts';
import { createOnnxReward } from './onnx.ts';
import { paletteDistance } from './palette-distance.ts';
import { createPromptAgreement, promptAgreement } from './prompt-agreement.ts';
import { type Definition, rewardOfDefinition } from './property.ts';
import { sequenceRewards } from './sequences/index.ts';
import { sharpness } from './sharpness.ts';
import { parseOptions, parseRewardSpec } from './spec.ts';
import { symmetry } from './symmetry.ts';
import type { Reward } from './types.ts';
import { warmth } from './warmth.ts';

/** The rewards of pictures that ship, by name. */
export const builtInRewards: ReadonlyMap<string, BuiltInReward> = new Map(
  [
    balance,
    bitsPerPixel,
    brightness,
    colourfulness,
    compressibility,
    contrast,
    edgeDensity,
    incompressibility,
    paletteDistance,
    sharpness,
    symmetry,
    warmth,
  ].map((r) => [r.name, r]),
);

/** Whether a reward can be asked for by its name alone. */
export const needsNoOptions = ({ options }: Definition): boolean => options.safeParse({}).success;

/** All rewards that ship, of pictures and of sequences; formulas read them by name. */
const definitions: ReadonlyMap<string, Definition> = new Map<string, Definition>([
  ...builtInRewards,
  ...sequenceRewards,
]);

/** What a reward may use of this machine. */
export interface RewardHost {
  readonly threads?: number | undefined;
  /** `auto` and absent mean the CPU, whose scores are the same everywhere. */
  readonly provider?: NonNullable<SessionOptions['provider']> | 'auto' | undefined;
  readonly seed?: number | undefined;
}

/** Rewards that come from elsewhere: what the prefix is followed by. */
const REWARD_SOURCES = {
  onnx: 'onnx:PATH[,output=NAME][,column=NAME]',
  expr: 'expr:FORMULA',
  module: 'module:PATH',
  command: 'command:PROGRAM ARGS…',
} as const;

/**
 * A reward from its specification: `name`, `name:key=value,…`, `onnx:PATH`, `expr:FORMULA`, `module:PATH` or `command:PROGRAM ARGS…`,
 * whose answers are checked ({@link guarded}). Close it when done.
 * @throws {NorthlightError} `reward/unknown`, `reward/option`, or what the source throws.
 */
export async function createReward(spec: string, host: RewardHost = {}): Promise<GuardedReward> {
  return guarded(await openReward(spec, host));
}

async function openReward(spec: string, { provider, threads }: RewardHost): Promise<Reward> {
  const colon = spec.indexOf(':');
  const name = colon < 0 ? spec : spec.slice(0, colon);
  const rest = colon < 0 ? '' : spec.slice(colon + 1);
  const session: SessionOptions = {
    ...(provider === undefined || provider === 'auto' ? {} : { provider }),
    ...(threads === undefined ? {} : { threads }),
  };
  switch (name) {
    case 'onnx':
      return createOnnxReward(rest, session);
    case 'expr':
      return createExpressionReward(rest, definitions);
    case 'module':
      return createModuleReward(rest);
    case 'command':
      return createCommandReward(rest);
    case promptAgreement.name:
      return createPromptAgreement(
        parseOptions(promptAgreement, rest) as z.output<typeof promptAgreement.options>,
        session,
      );
  }
  const definition = definitions.get(name);
  if (definition === undefined) {
    const known = [...builtInRewards.keys(), promptAgreement.name, ...sequenceRewards.keys()];
    throw new NorthlightError(
      'reward/unknown',
      `There is no reward "${name}".`,
      `${suggestion(name, known)} Rewards are ${[...known, ...Object.values(REWARD_SOURCES)].join(', ')}.`.trim(),
    );
  }
  return rewardOfDefinition(definition, parseOptions(definition, rest), spec);
}

/**
 * One reward, higher is better, from `SPEC` or `SPEC@WEIGHT` lines; see {@link combineRewards}.
 * @throws {NorthlightError} what {@link createReward} throws, and `reward/combine`. Rewards that were opened are closed.
 */
export async function createCombinedReward(
  specs: readonly string[],
  options: RewardHost & { readonly combine?: Combination } = {},
): Promise<CombinedReward> {
  const { combine, ...host } = options;
  const parts: Weighted[] = [];
  try {
    for (const { spec, weight } of specs.map(parseRewardSpec)) {
      parts.push({ reward: await createReward(spec, host), weight });
    }
    return combineRewards(parts, combine);
  } catch (error) {
    await Promise.all(parts.map(({ reward }) => reward.close()));
    throw error;
  }
}
