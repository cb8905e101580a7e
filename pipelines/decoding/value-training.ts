import { z } from 'zod';
import { importGraph, trainableInitializers } from '#models/autodiff/import-graph.ts';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { createTrainerState, trainSteps, trapezoid } from '#models/training/trainer.ts';
import { lossGraph } from '#models/training/training-graph.ts';
import type { DecodingTarget } from '#pipelines/sampling/steering.ts';
import type { ValueData, ValueState } from './value-data.ts';
import { CLOCK, clockOf, type ValueNetwork, valueModel } from './value-network.ts';
import { logMeanExp } from './weights.ts';

export const valueTrainingOptions = z.object({
  kind: z
    .enum(['soft', 'mean', 'guess'])
    .default('soft')
    .describe(
      'What is learned of a state: α·log E exp(r/α), what decoding wants; the mean reward, as released code does; or the reward of the best ' +
        'guess, as svdd-pm asks, which has no luck in it and takes far fewer samples',
    ),
  alpha: z.number().gt(0).optional().describe('Temperature, the one to decode at; default: the spread of the rewards'),
  hidden: z.int().min(1).max(4096).default(32).describe('Width of the hidden layers; convolutions have half as many'),
  updates: z.int().min(1).default(600).describe('Updates'),
  batch: z.int().min(1).default(32).describe('States per update'),
  learningRate: z.number().gt(0).default(3e-3).describe('Peak rate of AdamW'),
  weightDecay: z.number().min(0).default(0.03).describe('Of AdamW'),
  heldOut: z.number().min(0).max(0.5).default(0.2).describe('Share of the samples that it is only tried on'),
});
export type ValueTrainingOptions = z.output<typeof valueTrainingOptions>;

/** States of one call. */
const AT_ONCE = 128;
/** Fewer samples to try it on say nothing. */
const FEWEST_HELD_OUT = 4;

/**
 * Regression of rewards on states. Soft: exp(z − f) − (z − f) − 1 for z = r/α, whose minimiser is f = log E exp(z); mean: (z − f)²/2.
 * Guess: as mean, of the reward of the network's best guess at the state itself, whose values svdd-pm pays a call of the network for.
 * Deviation: the paper's loss (exp z − exp f)² has the same minimiser, but lets the largest rewards outweigh all others.
 * @param onStep after each update; return false to stop, with the network as it is.
 */
export async function trainValueNetwork(
  data: ValueData,
  belongs: DecodingTarget,
  options: ValueTrainingOptions & { readonly seed: number; readonly threads?: number },
  onStep: (report: { step: number; loss: number }) => boolean = () => true,
): Promise<ValueNetwork> {
  const { kind, hidden, batch, seed } = options;
  const { dims, rewards } = data;
  const alpha = options.alpha ?? (standardDeviation(rewards) || 1);
  const aimOf = (s: ValueState) => (kind === 'guess' ? s.guessed : rewards[s.sample]!);
  const aims = kind === 'guess' ? data.states.map(aimOf) : rewards;
  const scale = kind === 'soft' ? alpha : standardDeviation(aims) || 1;
  const offset =
    kind === 'soft'
      ? alpha * logMeanExp(rewards.map((r) => r / alpha))
      : Array.from(aims).reduce((a, r) => a + r / aims.length, 0);
  const tried = heldOut(rewards.length, options.heldOut);
  const learned = data.states.filter((s) => s.sample >= tried);

  const fresh = valueModel(dims, hidden, seed);
  const names = trainableInitializers(fresh).filter((name) => /weight|bias/.test(name));
  const op = createBuilder();
  const z = op.input('reward', 'float32', [batch, 1]);
  const net = importGraph(op, fresh, {
    inputs: { state: [batch, ...dims], clock: [batch, CLOCK] },
    role: (name) => (names.includes(name) ? 'input' : 'frozen'),
  });
  const short = op.sub(z, net.outputs.get('value')!);
  const each =
    kind === 'soft' ? op.addScalar(op.sub(op.exp(short), short), -1) : op.mulScalar(op.mul(short, short), 0.5);
  const weights = names.map((name) => net.weights.get(name)!);
  const graph = lossGraph(op, op.reduceMeanAll(each), weights, { name: 'value-training' });

  const state = createTrainerState(
    new Map(names.map((name) => [name, fresh.graph.initializers.get(name) as Tensor<'float32'>])),
  );
  await trainSteps({
    graph,
    state,
    steps: options.updates,
    ...(options.threads ? { threads: options.threads } : {}),
    batch(step) {
      const rng = new Rng(seed).fork('batch', step);
      const chosen = Array.from({ length: batch }, () => learned[rng.int(learned.length)]!);
      return {
        ...feeds(chosen, dims),
        reward: f32(
          [batch, 1],
          Float32Array.from(chosen, (s) => (aimOf(s) - offset) / scale),
        ),
      };
    },
    learningRate: (step) => trapezoid(step, options.updates, options.learningRate, 20, options.updates / 2),
    adamw: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: options.weightDecay },
    maxGradientNorm: 1,
    emaDecay: 0.99,
    onStep,
  });
  const { graph: own } = fresh;
  const model: Model = { ...fresh, graph: { ...own, initializers: new Map([...own.initializers, ...state.ema]) } };
  const correlation = tried < FEWEST_HELD_OUT ? null : await correlations(model, data, tried);
  const samples = rewards.length - tried;
  return { card: { ...belongs, kind, alpha, dims: [...dims], hidden, offset, scale, samples, correlation }, model };
}

/** How many samples, the first ones, are only tried on. */
function heldOut(samples: number, share: number): number {
  const count = Math.floor(samples * share);
  return count < FEWEST_HELD_OUT ? 0 : count;
}

function feeds(states: readonly ValueState[], dims: readonly number[]): Record<string, Tensor> {
  const size = numel(dims);
  const numbers = new Float32Array(states.length * size);
  for (const [i, { features }] of states.entries()) numbers.set(features, i * size);
  return {
    state: f32([states.length, ...dims], numbers),
    clock: f32([states.length, CLOCK], Float32Array.from(states.flatMap((s) => [...clockOf(s.progress)]))),
  };
}

/** Of values and rewards of the first `tried` samples, in each third of the way; 0 where one of them does not vary. */
async function correlations(model: Model, data: ValueData, tried: number): Promise<number[]> {
  const session = await createSession(encodeModel(model));
  const out: number[] = [];
  for (const third of [0, 1, 2]) {
    const own = data.states.filter((s) => s.sample < tried && Math.min(2, Math.floor(s.progress * 3)) === third);
    const values: number[] = [];
    for (let from = 0; from < own.length; from += AT_ONCE) {
      const { value } = await session.run(feeds(own.slice(from, from + AT_ONCE), data.dims));
      values.push(...(value!.data as Float32Array));
    }
    out.push(
      correlationOf(
        values,
        own.map((s) => data.rewards[s.sample]!),
      ),
    );
  }
  await session.release();
  return out;
}

/** Pearson's; 0 where one of them does not vary. */
function correlationOf(a: readonly number[], b: readonly number[]): number {
  const [meanA, meanB] = [a, b].map((xs) => xs.reduce((sum, x) => sum + x, 0) / xs.length) as [number, number];
  const covariance = a.reduce((sum, x, i) => sum + (x - meanA) * (b[i]! - meanB), 0) / a.length;
  const spread = standardDeviation(a) * standardDeviation(b);
  return spread > 0 ? covariance / spread : 0;
}

function standardDeviation(xs: ArrayLike<number>): number {
  const all = Array.from(xs);
  const mean = all.reduce((sum, x) => sum + x, 0) / all.length;
  return Math.sqrt(all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / all.length);
}
