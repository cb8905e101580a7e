import { thresholdSample } from '#pipelines/schedulers/thresholding.ts';
import type { GaussianSchedule, GaussianStep } from '#pipelines/schedulers/types.ts';

/** What one evaluation of the network says of one sample, in float64. */
export interface GaussianMoments {
  /** Mean of the next state before what a multistep solver adds, `[D]`. */
  readonly mean: Float64Array;
  /** Predicted clean sample as the schedule's configuration limits it, `[D]`. */
  readonly clean: Float64Array;
}

/**
 * `sample·x + output·modelOutput`, and the predicted clean sample; clamping that moves the mean along. x, output: `[D]`.
 * @param into arrays to write to, where what they held is no longer needed.
 */
export function gaussianMoments(
  schedule: Pick<GaussianSchedule, 'clipSampleRange' | 'dynamicThreshold'>,
  step: GaussianStep,
  x: Float32Array,
  output: Float32Array,
  into?: GaussianMoments,
): GaussianMoments {
  const size = x.length;
  const x0 = into?.clean ?? new Float64Array(size);
  for (let d = 0; d < size; d++) x0[d] = step.x0Sample * x[d]! + step.x0Output * output[d]!;
  const clean = limit(x0, schedule);
  const mean = unlimitedMean(step, x, output, into?.mean ?? new Float64Array(size));
  if (clean !== x0) for (let d = 0; d < size; d++) mean[d]! += step.x0Weight * (clean[d]! - x0[d]!);
  return { mean, clean };
}

/** The mean of {@link gaussianMoments} alone: the clean sample is not worked out where nothing limits it. */
export function gaussianMean(
  schedule: Pick<GaussianSchedule, 'clipSampleRange' | 'dynamicThreshold'>,
  step: GaussianStep,
  x: Float32Array,
  output: Float32Array,
  into: GaussianMoments,
): Float64Array {
  if (schedule.clipSampleRange !== null || schedule.dynamicThreshold !== null) {
    return gaussianMoments(schedule, step, x, output, into).mean;
  }
  return unlimitedMean(step, x, output, into.mean);
}

/** The predicted clean sample of {@link gaussianMoments} alone, as float32 to `into`. x, output: `[D]`. */
export function predictedClean(
  schedule: Pick<GaussianSchedule, 'clipSampleRange' | 'dynamicThreshold'>,
  step: GaussianStep,
  x: Float32Array,
  output: Float32Array,
  into: Float32Array,
): Float32Array {
  if (schedule.clipSampleRange !== null || schedule.dynamicThreshold !== null) {
    into.set(gaussianMoments(schedule, step, x, output).clean);
  } else for (let d = 0; d < into.length; d++) into[d] = step.x0Sample * x[d]! + step.x0Output * output[d]!;
  return into;
}

function unlimitedMean(step: GaussianStep, x: Float32Array, output: Float32Array, mean: Float64Array): Float64Array {
  for (let d = 0; d < mean.length; d++) mean[d] = step.sample * x[d]! + step.output * output[d]!;
  return mean;
}

/** The predicted clean sample as the schedule's configuration wants it: itself, clipped, or dynamically thresholded. */
function limit(
  x0: Float64Array,
  { clipSampleRange: range, dynamicThreshold }: Pick<GaussianSchedule, 'clipSampleRange' | 'dynamicThreshold'>,
): Float64Array {
  if (dynamicThreshold !== null) {
    const limited = x0.slice();
    thresholdSample(limited, dynamicThreshold);
    return limited;
  }
  return range === null ? x0 : x0.map((v) => Math.min(range, Math.max(-range, v)));
}
