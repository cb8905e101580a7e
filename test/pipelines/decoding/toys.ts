import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { f32, fromNumbers, i64 } from '#models/tensor/tensor.ts';
import type { Denoiser } from '#pipelines/sampling/denoiser.ts';
import { subsLogProbs } from '#pipelines/sampling/masked-kernel.ts';
import type { MaskedDenoiser, MaskedRow } from '#pipelines/sampling/masked-loop.ts';
import type { Decoded, DecodingStep, Score } from '#pipelines/sampling/steering.ts';
import type { GaussianSchedule, GaussianStep } from '#pipelines/schedulers/types.ts';
import { exactEpsilon } from '#test/pipelines/sampling/gaussian.ts';
import { type ToyLaw, toyModel } from '#test/support/masked-toy.ts';

/** Runs a decoder to its end. */
export async function finish<R extends Decoded>(
  decoding: AsyncGenerator<DecodingStep, R>,
): Promise<R & { readonly steps: readonly DecodingStep[] }> {
  const steps: DecodingStep[] = [];
  for (;;) {
    const next = await decoding.next();
    if (next.done) return { ...next.value, steps };
    steps.push(next.value);
  }
}

/** A masked toy through the runtime, all queries in one call; calls counted. */
export async function maskedToy(law: ToyLaw, timeConditioned = false) {
  const session = await createSession(encodeModel(toyModel({ laws: [law] })), { threads: 1 });
  const { letters, length } = law;
  const written = Array.from({ length: letters }, (_, k) => k);
  const calls = { count: 0 };
  const denoiser: MaskedDenoiser<null> = {
    maskId: letters,
    timeConditioned,
    async predict(queries) {
      calls.count += queries.length;
      const ids = queries.flatMap((q) => Array.from(q.tokens));
      const { logits } = await session.run({ input_ids: fromNumbers('int64', [queries.length, length], ids) });
      const size = length * (letters + 1);
      const data = logits!.data as Float32Array;
      return queries.map((q, i) => subsLogProbs(data.subarray(i * size, (i + 1) * size), q.tokens, letters, written));
    },
  };
  const rows = (count: number, seed = 7, from = 0): MaskedRow<null>[] =>
    Array.from({ length: count }, (_, k) => ({
      condition: null,
      seed,
      index: from + k,
      start: new Int32Array(length).fill(letters),
    }));
  return { denoiser, rows, calls, close: () => session.release() };
}

/** Reward of a whole sequence of a toy, from a table in the order of `ToyLaw.joint`. */
export function tableReward({ letters }: ToyLaw, table: readonly number[]): { score: Score; calls: { count: number } } {
  const calls = { count: 0 };
  return {
    calls,
    score: async (samples) => {
      calls.count += samples.length;
      return Float64Array.from(samples, (s) => table[placeOf(letters, s as Int32Array)]!);
    },
  };
}

export const placeOf = (letters: number, tokens: Int32Array): number => tokens.reduce((n, k) => n * letters + k, 0);

/** ε (or what `exact` says) of data N(1, ¼) at every step of a schedule, looked up by an ONNX model: `sample [B, D]`, `timestep` → `out_sample`. */
export async function gaussianToy(
  schedule: GaussianSchedule,
  exact: (step: GaussianStep) => { gain: number; offset: number } = exactEpsilon,
) {
  const op = createBuilder();
  const x = op.input('sample', 'float32', [1, 1]);
  const t = op.input('timestep', 'int64', []);
  const size = 1 + Math.max(...schedule.steps.map((s) => s.timestep));
  const table = (part: 'gain' | 'offset') => {
    const values = new Float32Array(size);
    for (const step of schedule.steps) values[step.timestep] = exact(step)[part];
    return op.gather(op.initializer(part, f32([size], values)), t, 0);
  };
  op.output(op.add2(op.mul(x, table('gain')), table('offset')), 'out_sample');
  const model = op.toModel('gaussian', (v) => (v.dims.length === 0 ? [] : ['batch', 1]));
  const session: Session = await createSession(encodeModel(model), { threads: 1 });
  const calls = { count: 0 };
  const denoiser: Denoiser<null> = {
    dims: [1],
    async predict(samples, timestep) {
      calls.count += samples.length;
      const feeds = { sample: f32([samples.length, 1], samples), timestep: i64([], [timestep]) };
      return (await session.run(feeds)).out_sample!.data as Float32Array;
    },
  };
  return { denoiser, model, calls, close: () => session.release() };
}

export const mean = (xs: ArrayLike<number>): number => Array.from(xs).reduce((a, b) => a + b, 0) / xs.length;

/** Mean with its standard error. */
export function estimate(xs: ArrayLike<number>): { readonly mean: number; readonly error: number } {
  const m = mean(xs);
  const variance = mean(Array.from(xs, (x) => (x - m) ** 2));
  return { mean: m, error: Math.sqrt(variance / xs.length) };
}
