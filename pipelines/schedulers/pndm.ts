import { alphasCumprodOf } from './betas.ts';
import type { SchedulerConfig } from './config.ts';
import { combine, type Linear, linearStep, outputAt, sampleAt } from './linear.ts';
import { predictionOf } from './prediction.ts';
import { timestepsOf } from './timesteps.ts';
import type { GaussianStep } from './types.ts';

/** Adams–Bashforth weights of the latest outputs, latest first: Liu et al. 2022 (arXiv:2202.09778), eq. 12 and its starts. */
const ADAMS = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]];
/** Runge–Kutta weights of the four slopes of a step. */
const RUNGE_KUTTA = [1 / 6, 1 / 3, 1 / 3, 1 / 6];

/**
 * PNDM: pseudo-numerical methods on the DDIM transfer. The first three steps by fourth-order Runge–Kutta, the rest by linear
 * multistep; with `skip_prk_steps` (or fewer than four steps), linear multistep from the start, whose first step is taken twice (steps + 1 evaluations).
 */
export function pndmSteps(config: SchedulerConfig, steps: number, skip = 0): GaussianStep[] {
  const alphas = alphasCumprodOf(config);
  const stride = Math.floor(config.num_train_timesteps / steps);
  const visited = timestepsOf(config, steps).slice(skip);
  const out: GaussianStep[] = [];
  /** DDIM's deterministic transfer of a sample along a slope: eq. 11. */
  const transfer = (from: number, to: number, sample: Linear, slope: Linear): Linear => {
    const a = alphas[Math.min(from, alphas.length - 1)]!;
    const b = to >= 0 ? alphas[to]! : config.set_alpha_to_one ? 1 : alphas[0]!;
    // As in the reference, outputs are averaged first and read at the timestep of departure afterwards. For ε that is the same;
    // v means something else at each timestep, so there a perfect network is not followed exactly.
    const p = predictionOf(config.prediction_type, Math.sqrt(a), Math.sqrt(1 - a));
    const epsilon = combine([p.epsilonSample, sample], [p.epsilonOutput, slope]);
    const scale = Math.sqrt(b / a);
    return combine([scale, sample], [Math.sqrt(1 - b) - scale * Math.sqrt(1 - a), epsilon]);
  };
  const evaluate = (timestep: number, next: (i: number) => Linear) => {
    const i = out.length;
    const alpha = alphas[timestep]!;
    const [signal, noise] = [Math.sqrt(alpha), Math.sqrt(1 - alpha)];
    const p = predictionOf(config.prediction_type, signal, noise);
    const clean = combine([p.x0Sample, sampleAt(i)], [p.x0Output, outputAt(i)]);
    out.push(linearStep(i, next(i), clean, { timestep, inputScale: 1, std: 0, signal, noise }));
    return i;
  };
  /** Evaluations whose outputs the multistep formula uses, latest first. */
  const history: number[] = [];
  const multistep = (timestep: number) =>
    evaluate(timestep, (i) => {
      history.unshift(i);
      history.length = Math.min(history.length, 4);
      const weights = ADAMS[history.length - 1]!;
      const slope = combine(...history.map((h, k) => [weights[k]!, outputAt(h)] as [number, Linear]));
      return transfer(timestep, timestep - stride, sampleAt(i), slope);
    });

  // A start needs a step after it, or its half steps would leave the range of timesteps.
  const rungeKutta = config.skip_prk_steps || visited.length < 4 ? 0 : 3;
  const half = Math.floor(stride / 2);
  for (let k = 0; k < rungeKutta; k++) {
    const t = visited[k]!;
    const first = out.length;
    const asked = [t, t - half, t - half, t - stride];
    asked.forEach((at, stage) => {
      evaluate(Math.max(0, at), (i) => {
        const slope =
          stage < 3 ? outputAt(i) : combine(...RUNGE_KUTTA.map((w, j) => [w, outputAt(first + j)] as [number, Linear]));
        return transfer(t, stage < 2 ? t - half : t - stride, sampleAt(first), slope);
      });
    });
    history.unshift(first);
  }
  if (rungeKutta > 0) {
    for (const t of visited.slice(rungeKutta)) multistep(t);
    return out;
  }
  // Without a start, the first step is made twice: along the first slope, then along the mean of both ends.
  const [t, second] = [visited[0]!, visited[1]];
  multistep(t);
  if (second === undefined) return out;
  evaluate(second, (i) =>
    transfer(second + stride, second, sampleAt(0), combine([0.5, outputAt(0)], [0.5, outputAt(i)])),
  );
  for (const later of visited.slice(1)) multistep(later);
  return out;
}
