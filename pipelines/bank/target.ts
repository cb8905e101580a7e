import { NorthlightError } from '#models/errors.ts';
import { type Combination, combineScores, statisticsOf } from '#pipelines/rewards/combine.ts';
import { clip } from '#pipelines/rewards/guards.ts';
import { type Column, upwards } from './columns.ts';

/** Plain samples that put several rewards on one scale: their standard deviations are then known to about a tenth. */
export const CALIBRATION_SAMPLES = 64;

/** Whether plain samples have to say what rewards are compared with before they steer. */
export const needsCalibration = (rewards: readonly unknown[], cap: number | null | undefined): boolean =>
  rewards.length > 1 || typeof cap === 'number';

/**
 * What a reward gives credit for, higher is better.
 * @param values of plain samples, higher is better.
 * @param cap a quantile of the first `samples`, beyond which there is no more credit.
 * @returns `over`: the value at that quantile; null without a cap.
 */
export function creditOf(
  values: Float64Array,
  cap: number | null | undefined,
  samples = values.length,
): { readonly credited: Float64Array; readonly over: number | null } {
  if (typeof cap !== 'number') return { credited: values, over: null };
  const over = quantileOf(values.subarray(0, samples), cap);
  return { credited: values.map((v) => clip(v - over)), over };
}

const quantileOf = (values: Float64Array, share: number): number =>
  Float64Array.from(values).sort()[Math.min(Math.floor(share * values.length), values.length - 1)]!;

/** A column where higher is what is wanted: of a reward of negative weight the other way round. */
export const wanted = (column: Column, weight: number): Float64Array =>
  weight < 0 ? upwards(column).map((v) => -v) : upwards(column);

/**
 * What steering by these rewards would follow, of plain samples: as {@link calibrateRewards} makes it of the first `samples`.
 * @param columns of equal length.
 */
export function targetValues(
  columns: readonly { readonly column: Column; readonly weight: number }[],
  { combine, cap }: { readonly combine: Combination; readonly cap: number | null },
  samples = CALIBRATION_SAMPLES,
): Float64Array {
  const credited = columns.map(({ column, weight }) => creditOf(wanted(column, weight), cap, samples).credited);
  const weights = columns.map(({ weight }) => Math.abs(weight));
  if (credited.length === 1) return credited[0]!.map((v) => v * weights[0]!);
  const statistics = credited.map((values) => statisticsOf(values.subarray(0, samples)));
  return Float64Array.from(combineScores(combine, credited, weights, statistics));
}

/**
 * What does not tell plain samples apart has no scale: a first difference would outweigh everything.
 * @throws {NorthlightError} `bank/flat-reward`
 */
export function refuseFlat(spec: string, values: Float64Array): void {
  const { mean, std } = statisticsOf(values);
  if (std > 1e-6 * (Math.abs(mean) + 1e-6)) return;
  throw new NorthlightError(
    'bank/flat-reward',
    `The reward "${spec}" says the same of all ${values.length} plain samples, so it cannot be put on one scale with others.`,
    'Leave it out; or write the rewards as one, with a scale of your own (expr:…); or compare on more plain samples (--bank-samples N of the command line).',
  );
}
