import { NorthlightError } from '#models/errors.ts';
import {
  type Combination,
  combineRewards,
  type Statistics,
  statisticsOf,
  type Weighted,
} from '#pipelines/rewards/combine.ts';
import { capped, clip } from '#pipelines/rewards/guards.ts';
import { createReward, type RewardHost } from '#pipelines/rewards/index.ts';
import { parseRewardSpec } from '#pipelines/rewards/spec.ts';
import type { Reward } from '#pipelines/rewards/types.ts';
import { defaultAlpha } from './alpha.ts';
import { type Bank, readBank } from './bank.ts';
import { upwards } from './columns.ts';
import { combinedValues } from './combined.ts';
import { groupsOf } from './groups.ts';
import { type GrowHooks, growBank } from './grow.ts';
import { scoreBank } from './score-bank.ts';
import type { BankSource } from './source.ts';

/** Plain samples that put several rewards on one scale: their standard deviations are then known to about a tenth. */
export const CALIBRATION_SAMPLES = 64;

export interface CalibrateOptions extends RewardHost {
  /** `SPEC` or `SPEC@WEIGHT`. */
  readonly rewards: readonly string[];
  readonly combine?: Combination;
  /** A quantile of plain samples beyond which a reward gives no more credit; none where absent. */
  readonly cap?: number | undefined;
  /** The first so many samples of the bank, however many there are: the same target wherever the command runs. */
  readonly samples?: number;
  /** Where banks are kept. */
  readonly project: string;
}

export interface Calibrated {
  /** A fixed function of a sample, higher is better. Close it. */
  readonly reward: Reward;
  /** Fits its spread over plain samples; null where it does not tell them apart. */
  readonly alpha: number | null;
  readonly bank: Bank;
}

/**
 * Several rewards as one that stays the same while samples are steered: each is compared with what it says of plain samples,
 * which are made first where the bank lacks them. A constant added to a reward, or a factor, changes nothing.
 * @throws {NorthlightError} `bank/flat-reward`, `reward/combine`, and what the rewards throw.
 */
export async function calibrateRewards(
  source: BankSource,
  options: CalibrateOptions,
  hooks: GrowHooks = {},
): Promise<Calibrated> {
  const { rewards, combine = 'sum', cap, samples = CALIBRATION_SAMPLES, project, ...host } = options;
  const specs = rewards.map(parseRewardSpec);
  const opened: Reward[] = [];
  try {
    for (const { spec } of specs) opened.push(await createReward(spec, host));
    // What cannot go together is refused before samples are made.
    combineRewards(
      opened.map((reward, k) => ({ reward, weight: specs[k]!.weight })),
      combine,
    );
    const bank = await growBank(readBank(project, source.identity), source, samples, hooks);
    const parts: Weighted[] = [];
    const columns: Float64Array[] = [];
    const statistics: Statistics[] = [];
    for (const [k, { spec, weight }] of specs.entries()) {
      const column = await scoreBank(bank, spec, { ...host, count: samples, opened: opened[k]! }, hooks);
      const values = upwards(column);
      const over = cap === undefined ? undefined : quantileOf(values, cap);
      const credited = over === undefined ? values : values.map((v) => clip(v - over));
      refuseFlat(spec, credited);
      const sign = column.higherIsBetter ? 1 : -1;
      const reward = over === undefined ? opened[k]! : capped(opened[k]!, { cap: sign * over });
      // Combined rewards turn around by weight what is better when lower.
      const own = over === undefined ? Float64Array.from(column.values) : credited;
      parts.push({ reward, weight });
      columns.push(credited);
      statistics.push(statisticsOf(own));
    }
    const weights = parts.map(({ weight }) => weight);
    const reward = combineRewards(parts, combine);
    reward.calibrate(statistics);
    const alpha = defaultAlpha(groupsOf(bank, combinedValues(columns, weights, combine)));
    // As a person would write it: the same command with this --alpha makes the same.
    return { reward, alpha: alpha && Number(alpha.toPrecision(3)), bank };
  } catch (error) {
    await Promise.all(opened.map((reward) => reward.close()));
    throw error;
  }
}

const quantileOf = (values: Float64Array, share: number): number =>
  Float64Array.from(values).sort()[Math.min(Math.floor(share * values.length), values.length - 1)]!;

/** What does not tell plain samples apart has no scale: a first difference would outweigh everything. */
function refuseFlat(spec: string, values: Float64Array): void {
  const { mean, std } = statisticsOf(values);
  if (std > 1e-6 * (Math.abs(mean) + 1e-6)) return;
  throw new NorthlightError(
    'bank/flat-reward',
    `The reward "${spec}" says the same of all ${values.length} plain samples, so it cannot be put on one scale with others.`,
    'Write the rewards as one, with a scale of your own: --reward "expr:…"; or look at more plain samples: --bank-samples N.',
  );
}
