import { z } from 'zod';
import { importGraph, trainableInitializers } from '#models/autodiff/import-graph.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { createTrainerState, trainSteps, trapezoid } from '#models/training/trainer.ts';
import { lossGraph } from '#models/training/training-graph.ts';
import { rewardHash } from '#pipelines/rewards/reward-hash.ts';
import type { DecodingTarget } from '#pipelines/sampling/steering.ts';
import { CLOCK } from './value-clock.ts';
import type { ValueData, ValueState } from './value-data.ts';
import { examine, NOT_EXAMINED, sights } from './value-exam.ts';
import { readsWords, type ValueNetwork, valueModel } from './value-network.ts';
import { mean, standardDeviation } from './value-statistics.ts';
import { TRUSTED_PARTS, trustAt, trustOf } from './value-trust.ts';
import { startFromWords } from './value-words.ts';
import { logMeanExp } from './weights.ts';

export const valueTrainingOptions = z.object({
  kind: z
    .enum(['guess', 'mean', 'soft'])
    .default('guess')
    .describe(
      'What is learned of a state: the reward of the best guess that the model makes of it, as svdd-pm asks, which has no luck in it; the ' +
        'mean of the rewards it ends in, as released code does; or α·log E exp(r/α), what decoding wants and takes by far the most samples',
    ),
  alpha: z.number().gt(0).optional().describe('Temperature, the one to decode at; default: the spread of the rewards'),
  hidden: z
    .int()
    .min(1)
    .max(4096)
    .default(48)
    .describe('Width of the layers; convolutions over pictures have half as many'),
  updates: z.int().min(1).default(600).describe('Updates'),
  batch: z.int().min(2).default(32).describe('States per update, two of each family'),
  learningRate: z.number().gt(0).default(1e-3).describe('Peak rate of AdamW'),
  weightDecay: z.number().min(0).default(0.03).describe('Of AdamW'),
  siblings: z
    .number()
    .min(0)
    .default(5)
    .describe('Weight of the difference between two candidates of one state, which is what decoding asks for'),
  heldOut: z.number().min(0).max(0.5).default(0.2).describe('Share of the samples that it is only tried on'),
});
export type ValueTrainingOptions = z.output<typeof valueTrainingOptions>;

/** Fewer samples to try it on say nothing. */
const FEWEST_HELD_OUT = 4;

/**
 * Regression on what candidates are worth. Soft: exp(z − f) − (z − f) − 1 for z = r/α, whose minimiser is f = log E exp(z); mean and
 * guess: (z − f)²/2, the latter weighted by how far guesses can be trusted at that time, with the squared difference of two siblings beside it.
 * Deviation: the paper's loss (exp z − exp f)² has the same minimiser as soft, but lets the largest rewards outweigh all others.
 * @param onStep after each update; return false to stop, with the network as it is.
 */
export async function trainValueNetwork(
  data: ValueData,
  belongs: DecodingTarget,
  options: ValueTrainingOptions & { readonly seed: number; readonly threads?: number },
  onStep: (report: { step: number; loss: number }) => boolean = () => true,
): Promise<ValueNetwork> {
  const { kind, hidden, seed } = options;
  const { dims, rewards } = data;
  const pairs = Math.floor(options.batch / 2);
  const batch = 2 * pairs;
  const tried = heldOut(rewards.length, options.heldOut);
  const plain = rewards.filter((_, i) => data.plain[i] === 1);
  const alpha = options.alpha ?? (standardDeviation(plain) || 1);
  const trust = kind === 'guess' ? trustOf(data) : Array.from({ length: TRUSTED_PARTS }, () => 1);
  const lesson = lessonOf(data, kind, alpha, trust, tried);

  const fresh = valueModel(dims, hidden, seed);
  const names = trainableInitializers(fresh).filter((name) => /weight|bias/.test(name));
  if (readsWords(dims)) {
    const lines = {
      states: lesson.states,
      aim: lesson.aim,
      care: (s: ValueState) => trustAt(trust, s.progress),
      siblings: kind === 'guess' ? options.siblings : 0,
    };
    await startFromWords(fresh, dims, lesson.telling, lines, new Rng(seed).fork('words'));
  }
  const op = createBuilder();
  const z = op.input('aim', 'float32', [batch, 1]);
  const care = op.input('care', 'float32', [batch, 1]);
  const net = importGraph(op, fresh, {
    inputs: { sight: [batch, ...dims], clock: [batch, CLOCK] },
    role: (name) => (names.includes(name) ? 'input' : 'frozen'),
  });
  const short = op.mul(care, op.sub(z, net.outputs.get('value')!));
  const each =
    kind === 'soft' ? op.addScalar(op.sub(op.exp(short), short), -1) : op.mulScalar(op.mul(short, short), 0.5);
  let loss = op.reduceMeanAll(each);
  if (kind === 'guess' && options.siblings > 0) {
    const two = op.reshape(short, [pairs, 2]);
    const apart = op.sub(op.slice(two, 1, 0, 1), op.slice(two, 1, 1, 2));
    loss = op.add2(loss, op.mulScalar(op.reduceMeanAll(op.mul(apart, apart)), options.siblings / 4));
  }
  const weights = names.map((name) => net.weights.get(name)!);
  const graph = lossGraph(op, loss, weights, { name: 'value-training' });

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
      const chosen = Array.from({ length: pairs }, () => lesson.draw(rng)).flat();
      return {
        ...sights(chosen, dims),
        aim: f32([batch, 1], Float32Array.from(chosen, lesson.aim)),
        care: f32(
          [batch, 1],
          Float32Array.from(chosen, (s) => trustAt(trust, s.progress)),
        ),
      };
    },
    learningRate: (step) => trapezoid(step, options.updates, options.learningRate, 50, options.updates / 2),
    adamw: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: options.weightDecay },
    maxGradientNorm: 1,
    emaDecay: 0.99,
    onStep,
  });
  const { graph: own } = fresh;
  const model: Model = { ...fresh, graph: { ...own, initializers: new Map([...own.initializers, ...state.ema]) } };
  const { offset, scale } = lesson;
  const examined = tried < FEWEST_HELD_OUT ? NOT_EXAMINED : await examine(model, data, tried, trust);
  const samples = rewards.length - tried;
  const card = { ...belongs, rewardHash: rewardHash(belongs.reward), kind, alpha, dims: [...dims], hidden };
  return { card: { ...card, offset, scale, trust, samples, ...examined }, model };
}

interface Lesson {
  readonly offset: number;
  readonly scale: number;
  /** All there is to learn from. */
  readonly states: readonly ValueState[];
  /** What the network is to say of a state. */
  aim(state: ValueState): number;
  /** Families, those first whose members are furthest apart. */
  readonly telling: readonly (readonly ValueState[])[];
  /** Two siblings, or any two states where there is nothing to compare. */
  draw(rng: Rng): [ValueState, ValueState];
}

function lessonOf(
  data: ValueData,
  kind: ValueTrainingOptions['kind'],
  alpha: number,
  trust: readonly number[],
  tried: number,
): Lesson {
  const learned = data.states.filter((s) => s.sample >= tried);
  if (kind !== 'guess') {
    // What becomes of a state by itself is known only where its sample was left to the model.
    const ends = learned.filter((s) => s.wentOn && data.plain[s.sample] === 1);
    const rewards = ends.map((s) => data.rewards[s.sample]!);
    const scale = kind === 'soft' ? alpha : standardDeviation(rewards) || 1;
    const offset = kind === 'soft' ? alpha * logMeanExp(rewards.map((r) => r / alpha)) : mean(rewards);
    return {
      offset,
      scale,
      aim: (s) => (data.rewards[s.sample]! - offset) / scale,
      states: ends,
      telling: [],
      draw: (rng) => [rng.pick(ends), rng.pick(ends)],
    };
  }
  const families = [...Map.groupBy(learned, (s) => s.family).values()].filter((f) => f.length > 1);
  // By what can be trusted, so that guesses of pure noise do not set the scale.
  const trusted = learned.map((s) => trustAt(trust, s.progress) ** 2);
  const total = trusted.reduce((a, b) => a + b, 0) || 1;
  const weighted = (f: (s: ValueState) => number) => learned.reduce((a, s, i) => a + trusted[i]! * f(s), 0) / total;
  const offset = weighted((s) => s.guessed);
  const scale = Math.sqrt(weighted((s) => (s.guessed - offset) ** 2)) || 1;
  // Families are drawn by how far their members are apart, too: most are as good as equal and teach little.
  const trusts = families.map((f) => trustAt(trust, f[0]!.progress));
  const spreads = families.map((f, i) => trusts[i]! * standardDeviation(f.map((s) => s.guessed)));
  const [usual, usualTrust] = [mean(spreads) || 1, mean(trusts) || 1];
  let sum = 0;
  const upTo = Float64Array.from(spreads, (s, i) => (sum += s / usual + trusts[i]! / usualTrust + 0.1));
  return {
    offset,
    scale,
    aim: (s) => (s.guessed - offset) / scale,
    states: learned,
    telling: [...families.keys()].sort((a, b) => spreads[b]! - spreads[a]!).map((i) => families[i]!),
    draw(rng) {
      const [a, b] = rng.shuffle([...families[placeOf(upTo, rng.uniform() * sum)]!]);
      return [a!, b!];
    },
  };
}

/** The first of ascending numbers that is above `x`. */
function placeOf(ascending: Float64Array, x: number): number {
  let [low, high] = [0, ascending.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! > x) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** How many samples, the first ones, are only tried on. */
function heldOut(samples: number, share: number): number {
  const count = Math.floor(samples * share);
  return count < FEWEST_HELD_OUT ? 0 : count;
}
