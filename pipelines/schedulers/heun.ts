import type { SchedulerConfig } from './config.ts';
import { combine, type Linear, linearStep, outputAt, sampleAt } from './linear.ts';
import { cleanOf } from './prediction-sigma.ts';
import { sigmaGrid } from './sigmas.ts';
import { timestepsOf } from './timesteps.ts';
import type { GaussianStep } from './types.ts';

/**
 * Heun's second-order method: an Euler step, then the same step again with the mean of the slopes at both ends. Karras et
 * al. 2022 (arXiv:2206.00364), algorithm 1. 2·steps − 1 evaluations: the last step is Euler's.
 */
export function heunSteps(config: SchedulerConfig, steps: number): GaussianStep[] {
  const { timesteps, sigmas } = sigmaGrid(config, timestepsOf(config, steps, 'fractional'));
  const out: GaussianStep[] = [];
  const evaluate = (timestep: number, sigma: number, next: (clean: Linear, slope: Linear, i: number) => Linear) => {
    const i = out.length;
    const p = cleanOf(config.prediction_type, sigma);
    const clean = combine([p.sample, sampleAt(i)], [p.output, outputAt(i)]);
    const slope = combine([1 / sigma, sampleAt(i)], [-1 / sigma, clean]);
    const inputScale = 1 / Math.sqrt(sigma ** 2 + 1);
    out.push(linearStep(i, next(clean, slope, i), clean, { timestep, inputScale, std: 0, signal: 1, noise: sigma }));
    return slope;
  };
  timesteps.forEach((timestep, k) => {
    const [sigma, to] = [sigmas[k]!, sigmas[k + 1]!];
    const width = to - sigma;
    const first = evaluate(timestep, sigma, (_, slope, i) => combine([1, sampleAt(i)], [width, slope]));
    if (k === steps - 1) return;
    evaluate(timesteps[k + 1]!, to, (_, slope, i) =>
      combine([1, sampleAt(i - 1)], [width / 2, first], [width / 2, slope]),
    );
  });
  return out;
}
