import { NorthlightError } from '#models/errors.ts';
import { Rng } from '#models/tensor/rng.ts';
import { countOf, drawReveals, fillPositions, NEVER } from '#pipelines/sampling/masked-kernel.ts';
import type { MaskedDenoiser, MaskedRow } from '#pipelines/sampling/masked-loop.ts';
import type { MaskedSchedule, MaskedStep } from '#pipelines/schedulers/types.ts';
import type { Chain } from './chain.ts';
import { logSumExp } from './weights.ts';

/** A sequence on its way. */
export interface MaskedState {
  /** `[L]`. */
  readonly tokens: Int32Array;
  /** Time the network is asked at before the next step. */
  readonly time: number;
}

/** log p(x₀ | x_t), `[L, V]`; null where nothing is masked, so nothing is asked. */
export type MaskedAnswer = Float64Array | null;

/** A masked sampler as a chain. Candidate 0 of every step makes what `maskedLoop` makes, byte for byte. */
export function maskedChain<C>(
  denoiser: MaskedDenoiser<C>,
  schedule: MaskedSchedule,
  rows: readonly MaskedRow<C>[],
): Chain<MaskedState, MaskedAnswer> {
  const { maskId } = denoiser;
  const { steps } = schedule;
  const streams = rows.map((row) => new Rng(row.seed).fork('masked', row.index));
  const conditions = [...new Set(rows.map((row) => row.condition))];
  const stepStream = (row: number, step: number) => streams[row]!.fork(step);

  /** Time at which the network is asked before `step`: the first number of the step's stream where it is random. */
  const timeOf = (row: number, step: number, tokens: Int32Array, before: number): number => {
    const own = steps[step]?.time;
    if (own === undefined) return before;
    if (own !== null) return own;
    const masked = countOf(tokens, maskId);
    return masked === 0 ? before : before * stepStream(row, step).uniform() ** (1 / masked);
  };

  const fill = (step: MaskedStep, tokens: Int32Array, said: Float64Array, rng: Rng): Int32Array => {
    const all: number[] = [];
    for (const [i, token] of tokens.entries()) if (token === maskId) all.push(i);
    return fillPositions(step, tokens, all, said, rng);
  };

  return {
    rows: rows.length,
    steps: steps.length,
    timeless: !denoiser.timeConditioned,
    isRandom: (step) => {
      const { reveal, fill: how } = steps[step]!;
      return reveal !== 1 || how === 'sample';
    },
    start(row) {
      const tokens = rows[row]!.start;
      return { tokens, time: timeOf(row, 0, tokens, 1) };
    },
    async evaluate(step, asked) {
      const open = asked.filter(({ state }) => countOf(state.tokens, maskId) > 0);
      const answers =
        open.length === 0
          ? []
          : await denoiser.predict(open.map(({ row, state }) => ({ ...state, condition: rows[row]!.condition })));
      let next = 0;
      return asked.map(({ row, state }) => {
        if (countOf(state.tokens, maskId) === 0) return null;
        const answer = answers[next++]!;
        if (!answer.every(Number.isFinite)) throw notFinite(rows[row]!.index, step, steps.length);
        return answer;
      });
    },
    draw(i, { row, state }, said, candidate, shared) {
      const step = steps[i]!;
      let { tokens } = state;
      if (said !== null) {
        const plain = stepStream(row, i);
        const own = candidate === 0 ? plain : plain.fork('candidate', candidate);
        const reveals = shared ? plain : own;
        // The first number of the step's stream was its time.
        if (step.time === null) plain.uniform();
        const positions = drawReveals(step, tokens, maskId, reveals);
        tokens = fillPositions(step, tokens, positions, said, own);
      }
      return { tokens, time: timeOf(row, i + 1, tokens, state.time) };
    },
    guess: (_, { state }, said) =>
      said === null ? state.tokens : fill({ time: 0, reveal: 1, fill: 'argmax' }, state.tokens, said, streams[0]!),
    complete(i, { row, state }, said, k) {
      if (said === null) return state.tokens;
      return completion(state.tokens, said, maskId, stepStream(row, i).fork('complete', k));
    },
    relaxed: (_, __, said) => (said === null ? null : Float32Array.from(said, Math.exp)),
    tilted: (_, said, slope, __, { state }) =>
      said === null ? null : tiltedLogProbs(said, slope, state.tokens, maskId),
    restart(i, row, sample, locked, rng) {
      const tokens = Int32Array.from(sample);
      const free = [...tokens.keys()].filter((at) => rows[row]!.start[at] === maskId && !locked.has(at));
      const masks = masksBefore(steps, i, free.length);
      for (const at of rng.shuffle(free).slice(0, masks)) tokens[at] = maskId;
      const time = steps[i]?.time ?? masks / Math.max(1, free.length);
      return { state: { tokens, time }, hold: (_, next) => next };
    },
    finished: ({ tokens }) => tokens,
    featureDims: [maskId + 1, rows[0]?.start.length ?? 0],
    features(_, { tokens }) {
      const out = new Float32Array(tokens.length * (maskId + 1));
      for (const [i, token] of tokens.entries()) {
        if (token > maskId) throw maskNotLast(maskId, token);
        out[token * tokens.length + i] = 1;
      }
      return out;
    },
    key: ({ tokens }) => tokens.join(),
    // Letters that were given, and how many there are, are part of what is to be shown.
    condition: (row) => `${conditions.indexOf(rows[row]!.condition)} ${rows[row]!.start.join()}`,
    rng: (row, ...labels) => new Rng(rows[row]!.seed).fork('decode', rows[row]!.index).fork(...labels),
  };
}

/** Masks that are left on average before a step, of so many at the start; where a step reveals one, the share of steps left. */
function masksBefore(steps: readonly MaskedStep[], step: number, count: number): number {
  let left = count;
  for (const [i, { reveal }] of steps.slice(0, step).entries()) {
    left *= 1 - (reveal === 'one' ? 1 / (steps.length - i) : reveal);
  }
  return Math.round(left);
}

/** `log p + slope` at the masks, normalised again at each of them. */
function tiltedLogProbs(said: Float64Array, slope: Float64Array, tokens: Int32Array, maskId: number): Float64Array {
  const size = said.length / tokens.length;
  const out = said.slice();
  for (const [i, token] of tokens.entries()) {
    if (token !== maskId) continue;
    const own = out.subarray(i * size, (i + 1) * size);
    // What the network rules out stays so.
    for (let k = 0; k < size; k++) if (own[k]! > NEVER) own[k]! += slope[i * size + k]!;
    const total = logSumExp(own);
    for (let k = 0; k < size; k++) if (own[k]! > NEVER) own[k] = Math.max(NEVER, own[k]! - total);
  }
  return out;
}

/** All masks drawn from the network's distribution, with one uniform for each position, masked or not. */
function completion(tokens: Int32Array, said: Float64Array, maskId: number, rng: Rng): Int32Array {
  const size = said.length / tokens.length;
  const step: MaskedStep = { time: 0, reveal: 1, fill: 'sample' };
  const out = tokens.slice();
  for (const [i, token] of tokens.entries()) {
    const own = rng.fork(i);
    if (token !== maskId) continue;
    out[i] = fillPositions(step, Int32Array.of(maskId), [0], said.subarray(i * size, (i + 1) * size), own)[0]!;
  }
  return out;
}

function notFinite(index: number, step: number, total: number): NorthlightError {
  return new NorthlightError(
    'sampling/not-finite',
    `The model gave an infinite number or none for sequence ${index} at step ${step + 1} of ${total}.`,
    'Lower the guidance scale, or check the model on its own.',
  );
}

const maskNotLast = (maskId: number, token: number) =>
  new NorthlightError(
    'value/vocabulary',
    `The mask of this model is token ${maskId}, and its letters go up to ${token} at least; states are read with the mask last.`,
    'Decode by svdd-pm, which reads no states.',
  );
