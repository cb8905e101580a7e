import { z } from 'zod';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { createTrainerState, trainSteps, trapezoid } from '#models/training/trainer.ts';
import { lossGraph } from '#models/training/training-graph.ts';
import type { Score } from '#pipelines/sampling/steering.ts';
import { askMissing, stillTrue } from './ask.ts';
import type { At, Chain } from './chain.ts';
import { clockOf, type ValueNetwork, valueGraph, weightDims } from './value-network.ts';
import { logMeanExp } from './weights.ts';

export const valueTrainingOptions = z.object({
  kind: z
    .enum(['soft', 'mean'])
    .default('soft')
    .describe(
      'What is learned of a state: α·log E exp(r/α), what decoding wants; or the mean reward, as released code does',
    ),
  alpha: z.number().gt(0).default(0.1).describe('Temperature, the one to decode at'),
  hidden: z.int().min(1).max(4096).default(64).describe('Width of the two hidden layers'),
  steps: z.int().min(1).default(2000).describe('Updates'),
  batch: z.int().min(1).default(256).describe('States per update'),
  learningRate: z.number().gt(0).default(3e-3).describe('Peak rate of AdamW'),
  seed: z.int().default(0).describe('Of the first weights and the order of the states'),
});
export type ValueTrainingOptions = z.output<typeof valueTrainingOptions>;

/** States of plain sampling before each of their steps, with the rewards they ended in. */
export interface ValueData {
  /** Features with the clock, one array per state. */
  readonly states: readonly Float32Array[];
  readonly rewards: Float64Array;
}

/** Samples every row of a chain plainly; all states on the way are kept, for a later network to learn from. */
export async function collectValueData<S, E>(chain: Chain<S, E>, score: Score): Promise<ValueData> {
  const { steps } = chain;
  const rows = Array.from({ length: chain.rows }, (_, row) => row);
  let at = rows.map((row): At<S> => ({ row, state: chain.start(row) }));
  let known: (E | undefined)[] = rows.map(() => undefined);
  const states: Float32Array[] = [];
  for (let i = 0; i < steps; i++) {
    for (const { state } of at) states.push(Float32Array.of(...chain.features(state), ...clockOf(i, steps)));
    const said = await askMissing(chain, i, at, known);
    const next = at.map((a, row) => ({ row, state: chain.draw(i, a, said[row]!, 0, false) }));
    known = rows.map((row) => stillTrue(chain, at[row]!.state, next[row]!.state, said[row]!));
    at = next;
  }
  const rewards = await score(
    at.map(({ state }) => chain.finished(state)),
    rows,
  );
  return { states, rewards: Float64Array.from(states, (_, i) => rewards[i % rows.length]!) };
}

/**
 * Regression of rewards on states. Soft: exp(z − f) − (z − f) − 1 for z = r/α, whose minimiser is f = log E exp(z); mean: (z − f)²/2.
 * Deviation: the paper's loss (exp z − exp f)² has the same minimiser, but lets the largest rewards outweigh all others.
 */
export async function trainValueNetwork(
  data: ValueData,
  belongs: { readonly modelHash: string; readonly reward: string },
  options: ValueTrainingOptions,
  onStep: (report: { step: number; loss: number }) => boolean = () => true,
): Promise<ValueNetwork> {
  const { kind, alpha, hidden, batch } = options;
  const size = data.states[0]!.length;
  const features = size - clockOf(0, 1).length;
  const count = data.rewards.length;
  const mean = data.rewards.reduce((sum, r) => sum + r, 0) / count;
  const std = Math.sqrt(data.rewards.reduce((sum, r) => sum + (r - mean) ** 2, 0) / count) || 1;
  const scale = kind === 'soft' ? alpha : std;
  const offset = kind === 'soft' ? alpha * logMeanExp(data.rewards.map((r) => r / alpha)) : mean;

  const dims = weightDims(features, hidden);
  const op = createBuilder();
  const x = op.input('state', 'float32', [batch, size]);
  const z = op.input('reward', 'float32', [batch, 1]);
  const weights = new Map([...dims].map(([name, d]) => [name, op.input(name, 'float32', d)]));
  const short = op.sub(
    z,
    valueGraph(op, x, (name) => weights.get(name)!),
  );
  const each =
    kind === 'soft' ? op.addScalar(op.sub(op.exp(short), short), -1) : op.mulScalar(op.mul(short, short), 0.5);
  const graph = lossGraph(op, op.reduceMeanAll(each), [...weights.values()], { name: 'value-training' });

  const state = createTrainerState(firstWeights(dims, options.seed));
  await trainSteps({
    graph,
    state,
    steps: options.steps,
    batch(step) {
      const rng = new Rng(options.seed).fork('batch', step);
      const states = new Float32Array(batch * size);
      const rewards = new Float32Array(batch);
      for (let i = 0; i < batch; i++) {
        const k = rng.int(count);
        states.set(data.states[k]!, i * size);
        rewards[i] = (data.rewards[k]! - offset) / scale;
      }
      return { state: f32([batch, size], states), reward: f32([batch, 1], rewards) };
    },
    learningRate: (step) => trapezoid(step, options.steps, options.learningRate, 20, options.steps / 2),
    adamw: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 },
    maxGradientNorm: 1,
    emaDecay: 0.99,
    onStep,
  });
  return {
    card: { ...belongs, kind, alpha, features, hidden, offset, scale },
    weights: state.ema,
  };
}

/** Normal, of variance 1/inputs; the last layer starts at zero, so that all states begin with the value of all samples. */
function firstWeights(dims: ReadonlyMap<string, readonly number[]>, seed: number): Map<string, Tensor<'float32'>> {
  return new Map(
    [...dims].map(([name, d]) => {
      const data = new Float32Array(d.reduce((n, k) => n * k, 1));
      if (d.length === 2 && !name.startsWith('out')) {
        new Rng(seed).fork('weights', name).fillNormal(data);
        for (const [i, v] of data.entries()) data[i] = v / Math.sqrt(d[0]!);
      }
      return [name, f32(d, data)];
    }),
  );
}
