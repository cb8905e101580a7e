import { NorthlightError } from '#models/errors.ts';
import type { SchedulerConfig } from './config.ts';
import { combine, type Linear, linearStep, outputAt, sampleAt } from './linear.ts';
import { predictionOf } from './prediction.ts';
import { roundHalfEven, sigmaGrid } from './sigmas.ts';
import { timestepsOf } from './timesteps.ts';
import type { GaussianStep } from './types.ts';

/** Signal α and noise σ (α² + σ² = 1) and half the log of the signal-to-noise ratio λ = ln α/σ, at one place of a grid. */
export interface Place {
  readonly alpha: number;
  readonly sigma: number;
  readonly lambda: number;
}

export function placeOf(sigma: number): Place {
  const alpha = 1 / Math.sqrt(sigma ** 2 + 1);
  return { alpha, sigma: sigma * alpha, lambda: -Math.log(sigma) };
}

/** The grid of a multistep solver without its first `skip` steps, with the predicted clean sample at each evaluation. */
export function solverGrid(config: SchedulerConfig, steps: number, skip: number) {
  const grid = sigmaGrid(config, timestepsOf(config, steps, 'before-clean'), { multistep: true });
  const timesteps = grid.timesteps.slice(skip);
  const places = grid.sigmas.slice(skip).map(placeOf);
  const cleans = timesteps.map((_, i): Linear => {
    const p = predictionOf(config.prediction_type, places[i]!.alpha, places[i]!.sigma);
    return combine([p.x0Sample, sampleAt(i)], [p.x0Output, outputAt(i)]);
  });
  return { timesteps: timesteps.map(roundHalfEven), places, cleans };
}

/**
 * DPM-Solver++ in its multistep form, and its stochastic twin: Lu et al. 2022 (arXiv:2211.01095), eq. 11–14 and 17–19;
 * order 1 to 3. x = α·x₀ + σ·ε, λ = ln α/σ, m = x̂₀.
 * @throws {NorthlightError} `scheduler/unsupported` for the older algorithms in ε, and for order 3 with noise.
 */
export function dpmSolverSteps(config: SchedulerConfig, steps: number, skip = 0): GaussianStep[] {
  const sde = config.algorithm_type === 'sde-dpmsolver++';
  if (config.algorithm_type === 'dpmsolver' || config.algorithm_type === 'sde-dpmsolver') {
    throw new NorthlightError(
      'scheduler/unsupported',
      `algorithm_type "${config.algorithm_type}" in scheduler_config.json is not supported.`,
      `Use "${config.algorithm_type}++", which solves the same equation and does not lose its step at strong guidance.`,
    );
  }
  if (sde && config.solver_order === 3) {
    throw new NorthlightError(
      'scheduler/unsupported',
      'The stochastic DPM-Solver++ has no third order.',
      'Set "solver_order" to 2 in scheduler_config.json.',
    );
  }
  const { timesteps, places, cleans } = solverGrid(config, steps, skip);
  return timesteps.map((timestep, i) => {
    const [at, to] = [places[i]!, places[i + 1]!];
    const left = timesteps.length - i;
    const last = left === 1 && (config.euler_at_final || (config.lower_order_final && steps < 15) || to.sigma === 0);
    const nearLast = left === 2 && config.lower_order_final && steps < 15;
    const order = Math.min(config.solver_order, i + 1, last ? 1 : nearLast ? 2 : 3);
    const h = to.lambda - at.lambda;
    const decay = Math.exp(-h);
    // x_to = (σ_to/σ)·e^{−h}?·x + α_to·(1 − e^{−h or −2h})·m, and terms in the slopes of m.
    const fade = sde ? decay ** 2 : decay;
    const factor = to.alpha * (1 - fade);
    const terms: [number, Linear][] = [
      [(to.sigma / at.sigma) * (sde ? decay : 1), sampleAt(i)],
      [factor, cleans[i]!],
    ];
    const ratio = (k: number) => (places[i - k + 1]!.lambda - places[i - k]!.lambda) / h;
    const slope = (k: number) => combine([1 / ratio(k), cleans[i - k + 1]!], [-1 / ratio(k), cleans[i - k]!]);
    if (order === 2) {
      const heun = config.solver_type === 'heun';
      terms.push([heun ? to.alpha * (1 - (1 - fade) / (sde ? 2 * h : h)) : factor / 2, slope(1)]);
    }
    if (order === 3) {
      const [r0, r1] = [ratio(1), ratio(2)];
      const curvature = combine([1 / (r0 + r1), slope(1)], [-1 / (r0 + r1), slope(2)]);
      terms.push([to.alpha * (1 - (1 - decay) / h), combine([1, slope(1)], [r0, curvature])]);
      terms.push([-to.alpha * ((decay - 1 + h) / h ** 2 - 0.5), curvature]);
    }
    const std = sde ? to.sigma * Math.sqrt(Math.max(0, 1 - decay ** 2)) : 0;
    return linearStep(i, combine(...terms), cleans[i]!, {
      timestep,
      inputScale: 1,
      std,
      signal: at.alpha,
      noise: at.sigma,
    });
  });
}
