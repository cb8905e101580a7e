import { Rng } from '#models/tensor/rng.ts';
import { type BradleyTerryFit, type BradleyTerryOptions, fitBradleyTerry } from './bradley-terry.ts';
import type { Comparison } from './comparisons.ts';
import { informationBits } from './information.ts';

export interface NextOptions {
  /** Items of each prompt; only items of one prompt are ever shown together. */
  readonly prompts: ReadonlyMap<string, readonly string[]>;
  /** Answers so far, in order (skips and both-bads too: they count as asked). */
  readonly comparisons: readonly Comparison[];
  readonly seed: number;
  /** How often one set of items may be asked about. Default 2. */
  readonly maxAsks?: number;
  readonly fit?: BradleyTerryOptions;
}

export interface NextQuestion {
  readonly prompt: string;
  /** In the order to show, left to right. */
  readonly slots: readonly string[];
  /** `coverage`: shows items never compared; `information`: the most informative. */
  readonly rule: 'coverage' | 'information';
  /** Expected information under the posterior; for more than two items the sum over their pairs, an index and no bit count. */
  readonly informationBits: number;
}

/**
 * The next pair to ask about, or null when every pair was asked `maxAsks` times. First the pairs with the most items never compared;
 * then the largest expected information under the Laplace posterior. From six items on, nothing shown in the last question is shown
 * again at once if that can be helped. Equals are decided, and sides drawn, by the seed and the number of answers.
 */
export function nextPair(options: NextOptions): NextQuestion | null {
  const state = prepare(options, 'pair');
  const candidates: Candidate[] = [];
  for (const [prompt, items] of options.prompts) {
    for (const [i, a] of items.entries()) {
      for (const b of items.slice(i + 1)) {
        if (state.asks([a, b]) >= state.maxAsks) continue;
        candidates.push(state.candidate(prompt, [a, b]));
      }
    }
  }
  return choose(candidates, state);
}

/**
 * The next best-of-n question (fewer where a prompt has fewer items, at least 2), or null when nothing is left to ask. For each prompt
 * the set is grown from its best start by the item that adds most; prompts then compete by the rules of `nextPair`.
 */
export function nextBestOf(options: NextOptions & { readonly n: number }): NextQuestion | null {
  if (!Number.isInteger(options.n) || options.n < 2) throw new RangeError('A best-of question shows at least 2 items.');
  const state = prepare(options, 'best');
  const candidates: Candidate[] = [];
  for (const [prompt, items] of options.prompts) {
    for (const first of items) {
      const set = [first];
      while (set.length < Math.min(options.n, items.length)) {
        const more = items.filter((i) => !set.includes(i)).map((i) => state.candidate(prompt, [...set, i]));
        set.push(top(more, state).items.at(-1)!);
      }
      if (set.length < 2 || state.asks(set) >= state.maxAsks) continue;
      candidates.push(state.candidate(prompt, set));
    }
  }
  return choose(candidates, state);
}

interface Candidate {
  readonly prompt: string;
  readonly items: readonly string[];
  /** How many of its items were never compared. */
  readonly fresh: number;
  readonly bits: number;
  readonly repeats: boolean;
}

interface State {
  readonly maxAsks: number;
  readonly rng: Rng;
  asks(items: readonly string[]): number;
  candidate(prompt: string, items: readonly string[]): Candidate;
}

function prepare(options: NextOptions, label: string): State {
  const { prompts, comparisons } = options;
  const all = [...prompts.values()].flat();
  const fit = fitBradleyTerry(comparisons, { ...options.fit, items: all });
  const asked = new Map<string, number>();
  const seen = new Set<string>();
  for (const c of comparisons) {
    asked.set(keyOf(c.items), (asked.get(keyOf(c.items)) ?? 0) + 1);
    for (const id of c.items) seen.add(id);
  }
  const last = new Set(all.length >= 6 ? comparisons.at(-1)?.items : []);
  const pairBits = memoise((a, b) => bitsOf(fit, a, b));
  return {
    maxAsks: options.maxAsks ?? 2,
    rng: new Rng(options.seed).fork('question', label, comparisons.length),
    asks: (items) => asked.get(keyOf(items)) ?? 0,
    candidate: (prompt, items) => ({
      prompt,
      items,
      fresh: items.filter((id) => !seen.has(id)).length,
      bits: items.reduce((sum, a, i) => items.slice(i + 1).reduce((s, b) => s + pairBits(a, b), sum), 0),
      repeats: items.some((id) => last.has(id)),
    }),
  };
}

function bitsOf(fit: BradleyTerryFit, a: string, b: string): number {
  const { mean, sd } = fit.difference(a, b);
  return informationBits(mean, sd, fit.tieThreshold);
}

function memoise(f: (a: string, b: string) => number): (a: string, b: string) => number {
  const known = new Map<string, number>();
  return (a, b) => {
    const key = keyOf([a, b]);
    const found = known.get(key) ?? f(a, b);
    known.set(key, found);
    return found;
  };
}

function keyOf(items: readonly string[]): string {
  return JSON.stringify([...items].sort());
}

/** The best candidate: nothing just shown, most items never compared, most information; equals by the seed. */
function top(candidates: readonly Candidate[], { rng }: State): Candidate {
  let best: Candidate[] = [];
  for (const c of candidates) {
    const order = best[0] === undefined ? -1 : compare(c, best[0]);
    if (order < 0) best = [c];
    else if (order === 0) best.push(c);
  }
  return rng.pick(best);
}

function compare(a: Candidate, b: Candidate): number {
  if (a.repeats !== b.repeats) return a.repeats ? 1 : -1;
  if (a.fresh !== b.fresh) return b.fresh - a.fresh;
  // Equal but for rounding.
  return Math.abs(a.bits - b.bits) < 1e-9 ? 0 : b.bits - a.bits;
}

function choose(candidates: readonly Candidate[], state: State): NextQuestion | null {
  if (candidates.length === 0) return null;
  const { prompt, items, fresh, bits } = top(candidates, state);
  return {
    prompt,
    slots: state.rng.shuffle(items),
    rule: fresh > 0 ? 'coverage' : 'information',
    informationBits: bits,
  };
}
