import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { Decoding, DecodingAids, DifferentiableReward, Score } from '#pipelines/sampling/steering.ts';
import type { At, Chain } from './chain.ts';
import { plain } from './plain.ts';

export const gradientOptions = z.object({
  strength: z
    .number()
    .min(0)
    .max(1e6)
    .default(1)
    .describe('How far each step leans towards the reward; 0 is plain sampling (w)'),
  alpha: z.number().gt(0).default(0.1).describe('Temperature: samples follow p·exp(r/α) where the reward is linear'),
  spread: z
    .number()
    .gt(0)
    .default(1)
    .describe(
      'Pictures: standard deviation of a number of a sample over the data; about 1 for latents, 0.5 for pixels',
    ),
  through: z
    .enum(['data', 'network'])
    .default('data')
    .describe(
      'Pictures: the slope is taken back to the noise by data of that spread, or by the network itself (twice the work)',
    ),
  candidates: z.int().min(1).max(4096).default(1).describe('Guided samples made for each one that is kept'),
});
export type GradientOptions = z.output<typeof gradientOptions>;

/**
 * Sampling with what the network says tilted by (w/α)·∇r at every step, for each sample on its own.
 *
 * Pictures: ∇r at the predicted clean sample, as in diffusion posterior sampling, Chung et al. 2023 (arXiv:2209.14687); on flows this
 * is the extra velocity −σ/(1−σ)·w∇r of Flow-NRG, Liu et al. 2025 (arXiv:2501.13918). Deviation: the derivative of the prediction is
 * that of Gaussian data of the given spread, K = signal·s²/(signal²·s² + noise²), and not the network's: exact for linear
 * rewards on such data, and nothing has to be kept for a backward pass. `through: network` is the paper's: ∇r(x̂₀(x_t)) by x_t.
 *
 * Sequences: log p + (w/α)·∇r at the masks, ∇r by the probabilities of the letters; exact for linear rewards of independent
 * positions. Deviation: released code averages the reward over the batch and adds to probabilities, which can make them negative.
 */
export function gradient<S, E>(
  chain: Chain<S, E>,
  score: Score,
  options: GradientOptions,
  aids: DecodingAids = {},
): Decoding {
  /** Of each row, the reward of the best guess that its last gradient was taken at. */
  const predicted = new Map<number, number>();
  const { slope } = aids;
  const told = slope ? { ...aids, slope: remembered(slope, predicted) } : aids;
  return plain(guided(chain, options, told), score, options.candidates, (row) => predicted.get(row) ?? null);
}

/** The same reward; what it says by the way of its gradient's points is kept, by row. */
function remembered(slope: DifferentiableReward, predicted: Map<number, number>): DifferentiableReward {
  return {
    ...slope,
    async gradient(samples, rows) {
      const values = new Float64Array(samples.length).fill(Number.NaN);
      const slopes = await slope.gradient(samples, rows, values);
      for (const [i, row] of rows.entries()) if (Number.isFinite(values[i])) predicted.set(row, values[i]!);
      return slopes;
    },
  };
}
/**
 * The chain of a network that leans towards the reward.
 * @throws {NorthlightError} `decode/not-differentiable`, `decode/through-network`; its steps throw `decode/not-finite`.
 */
export function guided<S, E>(chain: Chain<S, E>, options: GradientOptions, aids: DecodingAids): Chain<S, E> {
  const { strength, alpha, spread } = options;
  const { gradientCalls } = aids;
  const slopesOf = options.through === 'network' ? byNetwork(chain, spread, aids) : byData(chain, aids);
  if (strength === 0) return chain;
  return {
    ...chain,
    async evaluate(step, asked) {
      const answers = await slopesOf(step, asked);
      return answers.map(({ said, slope }, i) => {
        if (slope === null) return said;
        if (gradientCalls) gradientCalls.count++;
        const weighted = Float64Array.from(slope, (g) => (strength / alpha) * g);
        if (!weighted.every(Number.isFinite)) throw notFinite(step, chain.steps);
        return chain.tilted(step, said, weighted, spread, asked[i]!);
      });
    },
  };
}

/** Answers of the network with their slopes; null: nothing is left to say. */
type Slopes<S, E> = (
  step: number,
  asked: readonly At<S>[],
) => Promise<{ readonly said: E; readonly slope: Float32Array | null }[]>;

function byData<S, E>(chain: Chain<S, E>, { slope: reward }: DecodingAids): Slopes<S, E> {
  if (reward === undefined) throw noGradient();
  return async (step, asked) => {
    const said = await chain.evaluate(step, asked);
    const points = asked.map((at, i) => chain.relaxed(step, at, said[i]!));
    const open = points.flatMap((point, i) => (point === null ? [] : [{ point, i }]));
    const slopes = await reward.gradient(
      open.map(({ point }) => point),
      open.map(({ i }) => asked[i]!.row),
    );
    const out = said.map((one) => ({ said: one, slope: null as Float32Array | null }));
    for (const [k, { i }] of open.entries()) out[i]!.slope = slopes[k]!;
    return out;
  };
}

function byNetwork<S, E>(chain: Chain<S, E>, spread: number, { slope }: DecodingAids): Slopes<S, E> {
  const { sloped } = chain;
  if (sloped) return (step, asked) => sloped(step, asked, spread);
  if (slope === undefined) throw noGradient();
  throw new NorthlightError(
    'decode/through-network',
    'This network reads letters, by which nothing can be differentiated: its slope is taken by their probabilities.',
    'Leave out through=network.',
  );
}

const noGradient = () =>
  new NorthlightError(
    'decode/not-differentiable',
    'No gradient of this reward is known here, so samples cannot be led along it.',
    'Decode by svdd-pm, smc, beam or tree, which need the value of a reward only.',
  );

const notFinite = (step: number, total: number) =>
  new NorthlightError(
    'decode/not-finite',
    `The gradient of the reward is infinite or not a number at step ${step + 1} of ${total}.`,
    'Lower the strength, or check the reward on its own.',
  );
