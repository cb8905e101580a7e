import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { Clean, Decoded, Decoding, DecodingStep, Rival, Score } from '#pipelines/sampling/steering.ts';
import type { Chain, Restart } from './chain.ts';
import { plain } from './plain.ts';
import { svdd, svddOptions } from './svdd.ts';
import type { ValueFunction } from './value.ts';

export const reviseOptions = z.object({
  rounds: z.int().min(0).max(1000).default(5).describe('How often each sample is revised (N)'),
  from: z.number().min(0).max(1).default(0.5).describe('Share of the steps that the first revision takes back'),
  to: z.number().min(0).max(1).default(0.2).describe('Share of the steps that the last revision takes back'),
  candidates: z.int().min(1).max(1024).default(8).describe('Candidates at each step of a revision (M)'),
  alpha: z.number().gt(0).default(0.1).describe('Temperature of the steps, and of accepting a worse sample'),
  accept: z
    .enum(['greedy', 'metropolis'])
    .default('greedy')
    .describe(
      'greedy keeps a revision that is no worse; metropolis at times a worse one too, which keeps samples different',
    ),
  guard: z
    .number()
    .min(0)
    .default(0)
    .describe(
      'Most that guidance may favour a revision over the model’s own choice, as a log-ratio of all choices on the way; what goes further is ' +
        'not accepted. 0: no limit',
    ),
  locked: z.string().default('').describe('Sequences: positions that revisions never change, from 1, such as 1-20,55'),
  lockedRegion: z
    .string()
    .default('')
    .describe('Pictures: LEFT,TOP,RIGHT,BOTTOM of a part that revisions never change, as shares from 0 to 1'),
});
export type ReviseOptions = z.output<typeof reviseOptions>;

/** Shares of all samples, adding up to 1, and how far the mean moved. */
export interface RevisionCounts {
  readonly improved: number;
  readonly worsened: number;
  readonly unchanged: number;
  readonly change: number;
}

export interface Revised extends Decoded {
  /** Of each round, and of all together. Where nearly all are unchanged, revising does nothing. */
  readonly rounds: readonly RevisionCounts[];
  readonly whole: RevisionCounts;
}

/**
 * Takes finished samples some of the way back, and forth again guided by the reward, and keeps what is accepted. Iterative refinement as
 * in RERD, Uehara et al. 2025 (arXiv:2502.14944); counts of what revising does, as SCoRe asks for, Kumar et al. 2024 (arXiv:2409.12917).
 * Without rounds, or with shares of 0, samples stay as they are.
 * @param given samples to revise; absent: those of plain sampling.
 */
export async function* revise<S, E>(
  chain: Chain<S, E>,
  valuing: (chain: Chain<S, E>) => ValueFunction<S, E>,
  score: Score,
  options: ReviseOptions,
  given?: readonly Clean[],
): AsyncGenerator<DecodingStep, Revised> {
  const rows = Array.from({ length: chain.rows }, (_, row) => row);
  const locked = new Set([...positionsOf(options.locked), ...regionOf(options.lockedRegion, chain.featureDims)]);
  const starts = Array.from({ length: options.rounds }, (_, n) => {
    const along = options.rounds < 2 ? 0 : n / (options.rounds - 1);
    return Math.round((1 - (options.from + along * (options.to - options.from))) * chain.steps);
  });
  const total = starts.reduce((sum, step) => sum + chain.steps - step, given ? 0 : chain.steps);
  let taken = 0;
  /** Of each row, the place of what it went on with among those last told of. */
  const places: (number | null)[] = rows.map(() => null);
  /** Steps of a part of the whole, the last of them kept back where it is to be told with what came of it. */
  async function* part(decoding: Decoding, keepLast: boolean): AsyncGenerator<DecodingStep, Part> {
    const from = [...places];
    let last: DecodingStep | undefined;
    for (;;) {
      const next = await decoding.next();
      if (next.done) return { made: next.value, last: last! };
      const own = rows.map((row) =>
        (next.value.rivals?.(row) ?? []).map((rival) => ({ ...rival, parent: rival.parent ?? from[row]! })),
      );
      last = { ...next.value, rivals: (row) => own[row]! };
      if (keepLast && next.value.step === next.value.total) continue;
      yield told(last);
    }
  }
  function told(step: DecodingStep): DecodingStep {
    for (const row of rows) {
      const place = step.rivals!(row).findIndex((rival) => rival.wentOn);
      if (place >= 0) places[row] = place;
    }
    return { ...step, step: ++taken, total };
  }
  const first = given
    ? { samples: given, rewards: await score(given, rows) }
    : (yield* part(plain(chain, score), false)).made;
  let { samples, rewards } = first;
  const rounds: RevisionCounts[] = [];
  for (const [n, step] of starts.entries()) {
    const before = { samples, rewards };
    if (step < chain.steps) {
      const own = restarted(chain, step, samples, locked, n);
      const { candidates, alpha } = options;
      const guided = svdd(own, valuing(own), score, svddOptions.parse({ candidates, alpha }));
      const { made, last } = yield* part(guided, true);
      const accepted = rows.map(
        (row) =>
          favour(made, row, alpha) <= (options.guard || Number.POSITIVE_INFINITY) &&
          accepts(made.rewards[row]! - before.rewards[row]!, own.rng(row, 'accept'), options),
      );
      samples = rows.map((row) => (accepted[row] ? made : before).samples[row]!);
      rewards = Float64Array.from(rows, (row) => (accepted[row] ? made : before).rewards[row]!);
      const rivals = rows.map((row) => {
        const attempts = attemptsAt(last.rivals!(row), made, row, places[row]!);
        return verdict(attempts, before, row, accepted[row]!, own.steps === 1 ? places[row]! : null);
      });
      yield told({ ...last, rivals: (row) => rivals[row]! });
    }
    rounds.push(countsOf(before.rewards, rewards));
  }
  return { samples, rewards, logWeights: null, rounds, whole: countsOf(first.rewards, rewards) };
}

/** A part of the whole when it is done, with its last step. */
interface Part {
  readonly made: Decoded;
  readonly last: DecodingStep;
}

type Samples = Pick<Decoded, 'samples' | 'rewards'>;

/** What competed at the last step of a revision; where nothing did, what came of it. */
function attemptsAt(finished: readonly Rival[], made: Samples, row: number, parent: number | null): readonly Rival[] {
  if (finished.length > 0) return finished;
  return [{ value: made.rewards[row]!, parent, wentOn: true, guess: () => made.samples[row]! }];
}

/** Attempts, and the sample that they were to replace. @param parent its place in what was told before, if it was there. */
function verdict(
  attempts: readonly Rival[],
  before: Samples,
  row: number,
  accepted: boolean,
  parent: number | null,
): Rival[] {
  const guess = () => before.samples[row]!;
  return [
    ...attempts.map((rival) => ({ ...rival, wentOn: rival.wentOn && accepted })),
    { value: before.rewards[row]!, parent, wentOn: !accepted, standing: true, guess },
  ];
}

/**
 * Σ log(M·w(chosen)) over the choices on the way of a sample, w the shares by which guidance chose: how much likelier it made them than the
 * model does. On average over samples it bounds the divergence of a revision from the model's own. Importance weights hold it.
 */
const favour = ({ rewards, logWeights }: Decoded, row: number, alpha: number): number =>
  rewards[row]! / alpha - logWeights![row]!;

function accepts(change: number, rng: { uniform(): number }, { accept, alpha }: ReviseOptions): boolean {
  return accept === 'greedy' ? change >= 0 : rng.uniform() < Math.exp(change / alpha);
}

function countsOf(before: Float64Array, after: Float64Array): RevisionCounts {
  const changes = after.map((r, row) => r - before[row]!);
  const share = (is: (change: number) => boolean) => changes.filter(is).length / changes.length;
  return {
    improved: share((c) => c > 0),
    worsened: share((c) => c < 0),
    unchanged: share((c) => c === 0),
    change: changes.reduce((sum, c) => sum + c, 0) / changes.length,
  };
}

/** What is left of a chain from a step on, for samples that are to be made again from there, with random numbers of its own. */
function restarted<S, E>(
  chain: Chain<S, E>,
  from: number,
  samples: readonly Clean[],
  locked: ReadonlySet<number>,
  round: number,
): Chain<S, E> {
  const restarts = samples.map((sample, row): Restart<S> => {
    return chain.restart(from, row, sample, locked, chain.rng(row, 'revise', round, 'restart'));
  });
  return {
    ...chain,
    steps: chain.steps - from,
    isRandom: (step) => chain.isRandom(from + step),
    start: (row) => restarts[row]!.state,
    evaluate: (step, asked) => chain.evaluate(from + step, asked),
    // Candidates that no other round has, and not the plain one.
    draw: (step, at, said, candidate, shared) =>
      restarts[at.row]!.hold(from + step, chain.draw(from + step, at, said, (round + 1) * 4096 + candidate, shared)),
    guess: (step, at, said) => chain.guess(from + step, at, said),
    complete: (step, at, said, k) => chain.complete(from + step, at, said, k),
    relaxed: (step, at, said) => chain.relaxed(from + step, at, said),
    features: (step, state) => chain.features(from + step, state),
    tilted: (step, said, slope, spread, at) => chain.tilted(from + step, said, slope, spread, at),
    rng: (row, ...labels) => chain.rng(row, 'revise', round, ...labels),
  };
}

/** `1-20,55` as indices from 0. */
function positionsOf(text: string): ReadonlySet<number> {
  const out = new Set<number>();
  for (const part of text.split(',').filter((p) => p.trim() !== '')) {
    const [, first, last = first] = /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(part) ?? [];
    if (first === undefined || Number(first) < 1 || Number(last) < Number(first)) {
      throw new NorthlightError(
        'decode/option',
        `"${part.trim()}" is not a position or a range of positions.`,
        'Write locked positions as 1-20,55: from 1, the first of a range before its last.',
      );
    }
    for (let i = Number(first); i <= Number(last); i++) out.add(i - 1);
  }
  return out;
}

/** Numbers of a picture `[C, H, W]` in a part of it. @throws {NorthlightError} `decode/option`. */
function regionOf(text: string, dims: readonly number[]): number[] {
  if (text.trim() === '') return [];
  const shares = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  const [left, top, right, bottom] = shares as [number, number, number, number];
  const valid = shares.length === 4 && shares.every((s) => s >= 0 && s <= 1) && left < right && top < bottom;
  if (!valid || dims.length !== 3) {
    throw new NorthlightError(
      'decode/option',
      valid ? 'Only pictures have a part to lock.' : `"${text}" is not a part of a picture.`,
      valid ? 'Lock positions of a sequence with "locked".' : 'Write it as 0.25,0,0.75,0.5: left, top, right, bottom.',
    );
  }
  const [channels, height, width] = dims as [number, number, number];
  const out: number[] = [];
  for (let c = 0; c < channels; c++) {
    for (let y = Math.floor(top * height); y < Math.ceil(bottom * height); y++) {
      for (let x = Math.floor(left * width); x < Math.ceil(right * width); x++) out.push((c * height + y) * width + x);
    }
  }
  return out;
}
