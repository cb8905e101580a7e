import { Layers } from '#models/families/layers.ts';
import type { Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import type { ValueState } from './value-data.ts';
import { unpackSight } from './value-sight.ts';

/** Letters of a word, and how many of them have to be there before it counts at all. */
const WORD = 13;
const AT_LEAST = 8;

/**
 * How much of each word there is in a sequence `[B, 2C, L]`, and the shares of its letters: `[B, words + 2C]`, each less its mean over its spread.
 * A place counts by the letters that it has more than {@link AT_LEAST} of a word, and all places are summed: a mean over hundreds of them
 * would start almost blind to a word that is there once.
 */
export function countedWords(nn: Layers, sight: Value, words: number): Value {
  const counts = rawCounts(nn, sight, words);
  const size = counts.dims[1]!;
  const { op } = nn;
  const centre = op.initializer('usual', f32([size], new Float32Array(size)));
  return op.mul(op.sub(counts, centre), nn.ones('inverse-spread', size));
}

function rawCounts(nn: Layers, sight: Value, words: number): Value {
  const { op } = nn;
  const [, channels, length] = sight.dims as [number, number, number];
  // Convolutions are two-dimensional with a height of one, because the runtime's blocked layouts are for those.
  const flat = nn.batchReshape(sight, [channels, 1, length]);
  const filters = nn.weight('words.weight', [words, channels, 1, WORD], Math.sqrt(3 / (channels * WORD)));
  const least = op.initializer('words.bias', f32([words], new Float32Array(words).fill(-AT_LEAST)));
  const pad = (WORD - 1) / 2;
  const found = op.apply('Relu', [op.conv(flat, filters, least, { pads: [0, pad, 0, pad] })]);
  return op.concat([op.reduceSum(found, [2, 3], false), op.reduceMean(flat, [2, 3], false)], 1);
}

/** What a network is to say of a state, and how much that matters. */
export interface Lines {
  readonly states: readonly ValueState[];
  aim(state: ValueState): number;
  care(state: ValueState): number;
  /** Weight of differences between members of a family. */
  readonly siblings: number;
}

/** Strength of the prior on linear weights of standardised counts, in states of full care. */
const RIDGE = 300;
/** States of one call. */
const AT_ONCE = 64;

/**
 * Starts a fresh network of sequences where thousands of updates would hardly bring it: its words become words that made a difference, and the
 * weights of their counts those of a ridge regression. Changes `model` in place.
 * @param telling families of at least two states, those first whose members are furthest apart; where they do not suffice, words are
 *   taken from states at random.
 */
export async function startFromWords(
  model: Model,
  dims: readonly number[],
  telling: readonly (readonly ValueState[])[],
  lines: Lines,
  rng: Rng,
): Promise<void> {
  const weightOf = (name: string) => model.graph.initializers.get(name) as Tensor<'float32'>;
  const filters = weightOf('words.weight');
  const [words] = filters.dims as [number];
  fillWords(filters, dims, telling, lines.states, rng);

  const op = createBuilder();
  const nn = new Layers(op, new Rng(0));
  op.output(rawCounts(nn, op.input('sight', 'float32', [1, ...dims]), words), 'counts');
  const counting = op.toModel('counts', (v) => ['batch', ...v.dims.slice(1)]);
  (counting.graph.initializers.get('words.weight') as Tensor<'float32'>).data.set(filters.data);
  const counts = await countsOf(counting, dims, lines.states);

  const size = weightOf('usual').data.length;
  const n = lines.states.length;
  const column = (k: number) => Float64Array.from({ length: n }, (_, i) => counts[i * size + k]!);
  for (let k = 0; k < size; k++) {
    const own = column(k);
    const centre = own.reduce((a, x) => a + x / n, 0);
    const spread = Math.sqrt(own.reduce((a, x) => a + (x - centre) ** 2 / n, 0));
    weightOf('usual').data[k] = centre;
    weightOf('inverse-spread').data[k] = spread > 0 ? 1 / spread : 0;
    for (let i = 0; i < n; i++) counts[i * size + k] = spread > 0 ? (own[i]! - centre) / spread : 0;
  }
  weightOf('counts.weight').data.set(ridge(counts, size, lines));
}

/** For the best and the worst of each family, the letters around a place where what they would become differs, as the better one has them. */
function fillWords(
  filters: Tensor<'float32'>,
  dims: readonly number[],
  telling: readonly (readonly ValueState[])[],
  others: readonly ValueState[],
  rng: Rng,
): void {
  const [channels, length] = dims as [number, number];
  const letters = channels / 2;
  const size = numel(dims);
  const lettersOf = ({ sight }: ValueState): number[] => {
    const numbers = new Float32Array(size);
    unpackSight(sight, numbers, 0, size);
    return Array.from({ length }, (_, i) => {
      for (let c = 0; c < letters; c++) if (numbers[(letters + c) * length + i] === 1) return c;
      return -1;
    });
  };
  filters.data.fill(0);
  const [words] = filters.dims as [number];
  let family = 0;
  for (let k = 0; k < words; k++) {
    let better: number[] = [];
    let places: number[] = [];
    while (places.length === 0 && family < telling.length) {
      const ordered = telling[family++]!.toSorted((a, b) => b.guessed - a.guessed);
      const worse = lettersOf(ordered.at(-1)!);
      better = lettersOf(ordered[0]!);
      places = better.flatMap((letter, i) => (letter !== worse[i] ? [i] : []));
    }
    if (places.length === 0) {
      better = lettersOf(rng.pick(others));
      places = [...better.keys()];
    }
    // Where in the word the difference was is not known; near its middle more of the word is seen.
    const from = Math.max(0, Math.min(length - WORD, rng.pick(places) - 3 - rng.int(WORD - 6)));
    for (let j = 0; j < WORD; j++) {
      const letter = better[from + j] ?? -1;
      if (letter >= 0) filters.data[(k * channels + letters + letter) * WORD + j] = 1;
    }
  }
}

async function countsOf(model: Model, dims: readonly number[], states: readonly ValueState[]): Promise<Float64Array> {
  const session = await createSession(encodeModel(model));
  const size = numel(dims);
  const out: Float32Array[] = [];
  for (let from = 0; from < states.length; from += AT_ONCE) {
    const own = states.slice(from, from + AT_ONCE);
    const sights = new Float32Array(own.length * size);
    for (const [i, { sight }] of own.entries()) unpackSight(sight, sights, i * size, size);
    const { counts } = await session.run({ sight: f32([own.length, ...dims], sights) });
    out.push(counts!.data as Float32Array);
  }
  await session.release();
  return Float64Array.from(out.flatMap((part) => [...part]));
}

/**
 * Weights w that minimise Σ care²·(aim − w·x)² + siblings·Σ care²·(aim − w·x, less its family's mean)² + {@link RIDGE}·|w|².
 * @param x standardised, `[n, size]`.
 */
function ridge(x: Float64Array, size: number, { states, aim, care, siblings }: Lines): Float64Array {
  const matrix = new Float64Array(size * size);
  const right = new Float64Array(size);
  const add = (row: Float64Array, target: number, weight: number) => {
    for (let a = 0; a < size; a++) {
      const scaled = weight * row[a]!;
      if (scaled === 0) continue;
      right[a]! += scaled * target;
      for (let b = 0; b <= a; b++) matrix[a * size + b]! += scaled * row[b]!;
    }
  };
  const rowOf = (i: number) => x.subarray(i * size, (i + 1) * size);
  for (const [i, s] of states.entries()) add(rowOf(i), aim(s), care(s) ** 2);
  if (siblings > 0) {
    for (const family of Map.groupBy(states.keys(), (i) => states[i]!.family).values()) {
      if (family.length < 2) continue;
      const centre = new Float64Array(size);
      for (const i of family) for (const [k, v] of rowOf(i).entries()) centre[k]! += v / family.length;
      const usual = family.reduce((a, i) => a + aim(states[i]!) / family.length, 0);
      for (const i of family) {
        const apart = rowOf(i).map((v, k) => v - centre[k]!);
        add(apart, aim(states[i]!) - usual, siblings * care(states[i]!) ** 2);
      }
    }
  }
  for (let a = 0; a < size; a++) matrix[a * size + a]! += RIDGE;
  return solve(matrix, right);
}

/** w of A w = b by Cholesky, for a symmetric positive A of which the lower half is given; both are used up. */
function solve(a: Float64Array, b: Float64Array): Float64Array {
  const n = b.length;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= a[i * n + k]! * a[j * n + k]!;
      a[i * n + j] = i === j ? Math.sqrt(sum) : sum / a[j * n + j]!;
    }
  }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) b[i]! -= a[i * n + k]! * b[k]!;
    b[i]! /= a[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) b[i]! -= a[k * n + i]! * b[k]!;
    b[i]! /= a[i * n + i]!;
  }
  return b;
}
