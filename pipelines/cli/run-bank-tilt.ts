import { resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { alphaForEss, alphaForKl } from '#pipelines/bank/alpha.ts';
import { findBank } from '#pipelines/bank/bank.ts';
import { upwards } from '#pipelines/bank/columns.ts';
import { combinedValues } from '#pipelines/bank/combined.ts';
import { groupsOf } from '#pipelines/bank/groups.ts';
import { methodsWithin } from '#pipelines/bank/methods.ts';
import { preview } from '#pipelines/bank/preview.ts';
import { scoreBank } from '#pipelines/bank/score-bank.ts';
import type { Groups } from '#pipelines/bank/tilt.ts';
import type { Combination } from '#pipelines/rewards/combine.ts';
import { parseRewardSpec } from '#pipelines/rewards/spec.ts';
import type { CommonOptions, Io } from './command.ts';

interface Options extends CommonOptions {
  readonly key: string;
  readonly project: string;
  readonly reward: readonly string[];
  readonly combine: Combination;
  readonly alpha?: number | undefined;
  readonly kl?: number | undefined;
  readonly ess?: number | undefined;
}

/** Multiples of the work for which settings are named. */
const SETTINGS_FOR = [2, 8, 32];

/** `northlight bank tilt`: what a temperature or extra work is expected to give. */
export async function runBankTilt(options: Options, io: Io) {
  const bank = findBank(resolve(options.project), options.key);
  const specs = options.reward.map(parseRewardSpec);
  const columns: Float64Array[] = [];
  for (const { spec } of specs) {
    const column = await scoreBank(bank, spec, options.threads ? { threads: options.threads } : {}, {
      onProgress: (done) => io.progress(spec, done, bank.items.length),
      checkpoint: () => io.signal.throwIfAborted(),
    });
    columns.push(upwards(column));
  }
  const weights = specs.map(({ weight }) => weight);
  const groups = groupsOf(bank, combinedValues(columns, weights, options.combine));
  const { steps } = bank.identity.settings;
  const work = typeof steps === 'number' ? SETTINGS_FOR : [];
  return {
    key: bank.key,
    ...preview(groups, alphaOf(options, groups)),
    methods: work.map((times) => ({ times, within: methodsWithin(times, Number(steps)) })),
  };
}

function alphaOf({ alpha, kl, ess }: Options, groups: Groups): number | null {
  if (kl === undefined && ess === undefined) return alpha ?? null;
  const found = kl === undefined ? alphaForEss(groups, ess!) : alphaForKl(groups, kl);
  if (found !== null) return found;
  throw new NorthlightError(
    'bank/out-of-reach',
    `No α gives ${kl === undefined ? `an effective sample size of ${ess}` : `${kl} nats`} on these samples.`,
    'Ask for less, or make more samples: northlight bank make --count N',
  );
}
