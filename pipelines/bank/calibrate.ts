import {
  type Combination,
  combineRewards,
  type Statistics,
  statisticsOf,
  type Weighted,
} from '#pipelines/rewards/combine.ts';
import { capped } from '#pipelines/rewards/guards.ts';
import { createReward, type RewardHost } from '#pipelines/rewards/index.ts';
import { parseRewardSpec } from '#pipelines/rewards/spec.ts';
import type { Reward } from '#pipelines/rewards/types.ts';
import { defaultAlpha } from './alpha.ts';
import { type Bank, readBank } from './bank.ts';
import type { Column } from './columns.ts';
import { groupsOf } from './groups.ts';
import { type GrowHooks, growBank } from './grow.ts';
import { scoreBank } from './score-bank.ts';
import type { BankSource } from './source.ts';
import { CALIBRATION_SAMPLES, creditOf, refuseFlat, targetValues, wanted } from './target.ts';

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
  /** The rewards by themselves, in the order asked for; closed with it. */
  readonly parts: readonly Reward[];
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
    const columns: { column: Column; weight: number }[] = [];
    const statistics: Statistics[] = [];
    for (const [k, { spec, weight }] of specs.entries()) {
      const column = await scoreBank(bank, spec, { ...host, count: samples, opened: opened[k]! }, hooks);
      const { credited, over } = creditOf(wanted(column, weight), cap);
      refuseFlat(spec, credited);
      // What lowers a reward of negative weight has its limit at the other end.
      const towards = weight < 0 ? { ...opened[k]!, higherIsBetter: !opened[k]!.higherIsBetter } : opened[k]!;
      const sign = towards.higherIsBetter ? 1 : -1;
      parts.push(
        over === null
          ? { reward: opened[k]!, weight }
          : { reward: capped(towards, { cap: sign * over }), weight: Math.abs(weight) },
      );
      columns.push({ column, weight });
      // Combined rewards turn around by weight what is better when lower.
      statistics.push(statisticsOf(over === null ? column.values : credited));
    }
    const reward = combineRewards(parts, combine);
    reward.calibrate(statistics);
    const alpha = defaultAlpha(groupsOf(bank, targetValues(columns, { combine, cap: cap ?? null }, samples)));
    // As a person would write it: the same command with this --alpha makes the same.
    return { reward, parts: opened, alpha: alpha && Number(alpha.toPrecision(3)), bank };
  } catch (error) {
    await Promise.all(opened.map((reward) => reward.close()));
    throw error;
  }
}
