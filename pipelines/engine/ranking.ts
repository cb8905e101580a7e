import { Rng } from '#models/tensor/rng.ts';
import {
  type Comparison,
  fitBradleyTerry,
  heldOutAccuracy,
  nextBestOf,
  nextPair,
} from '#pipelines/preferences/index.ts';
import type { SampleRow } from '#pipelines/store/samples.ts';
import type { SessionRow, VoteRow } from '#pipelines/store/sessions.ts';

/** A best-of-n question shows this many pictures where a prompt has them. */
const BEST_OF = 4;
/** The next question must be there within a frame or two; a fit over more pictures takes longer. */
const POOL = 48;
/** Held while fitting when ties were given: estimating it needs 120 fits, and utilities hardly depend on it. */
const TIE_THRESHOLD = 0.3;

/** Votes are enough to tune from when they foretell each other, or when there are plainly many. */
const ENOUGH = { votes: 20, accuracy: 0.6, manyVotes: 60 };

export interface Standing {
  readonly sampleId: string;
  readonly hash: string;
  readonly prompt: string;
  readonly utility: number;
  readonly sd: number;
  readonly comparisons: number;
}

/** Questions, scores and stopping of ranking sessions. Pictures are only ever compared within a prompt. */
export interface Ranking {
  /** Sample ids of the next question, left to right; empty when every pair was asked twice. */
  nextSlots(session: SessionRow, pool: readonly SampleRow[], given: readonly VoteRow[]): readonly string[];
  /** Utilities per prompt (mean zero within each), best first. */
  standings(pool: readonly SampleRow[], given: readonly VoteRow[]): Standing[];
  /**
   * Share of decided votes foretold by scores fitted without them (5-fold, per prompt, weighted by votes); null while no prompt
   * has two decided votes.
   */
  heldOutAccuracy(session: SessionRow, given: readonly VoteRow[]): number | null;
  /** At least 20 decided votes foretelling each other at 60 %, or 60 decided votes. */
  enough(session: SessionRow, given: readonly VoteRow[]): boolean;
}

export function createRanking(): Ranking {
  /** Held-out results by session and prompt: a vote changes those of its own prompt only. */
  const known = new Map<string, { votes: string; accuracy: number; decided: number }>();

  const accuracyOf = (session: SessionRow, prompt: string, votes: readonly VoteRow[]) => {
    const key = JSON.stringify([session.id, prompt]);
    const signature = votes.map((vote) => vote.seq).join(' ');
    const found = known.get(key);
    if (found?.votes === signature) return found;
    const held = heldOutAccuracy(votes.map(comparisonOf), { ...fitOptions(votes), seed: session.seed });
    const result = { votes: signature, accuracy: held?.accuracy ?? 0, decided: held?.decided ?? 0 };
    known.set(key, result);
    return result;
  };

  const accuracy = (session: SessionRow, given: readonly VoteRow[]): number | null => {
    const results = [...byPrompt(given)].map(([prompt, votes]) => accuracyOf(session, prompt, votes));
    const decided = results.reduce((sum, result) => sum + result.decided, 0);
    if (decided === 0) return null;
    return results.reduce((sum, result) => sum + result.accuracy * result.decided, 0) / decided;
  };

  return {
    nextSlots: (session, pool, given) => {
      const prompts = candidates(session, pool, given);
      const shown = new Set([...prompts.values()].flat());
      const options = {
        prompts,
        comparisons: given.filter((vote) => vote.slots.every((id) => shown.has(id))).map(comparisonOf),
        seed: session.seed,
        fit: fitOptions(given),
      };
      const next = session.mode === 'pair' ? nextPair(options) : nextBestOf({ ...options, n: BEST_OF });
      return next?.slots ?? [];
    },
    standings: (pool, given) => {
      const votes = byPrompt(given);
      return [...byPrompt(pool)].flatMap(([prompt, samples]) => {
        const own = votes.get(prompt) ?? [];
        const fit = fitBradleyTerry(own.map(comparisonOf), { ...fitOptions(own), items: samples.map((s) => s.id) });
        return samples
          .flatMap(({ id, hash }) => {
            const item = fit.items.get(id);
            if (!item) return [];
            return { sampleId: id, hash, prompt, utility: item.utility, sd: item.sd, comparisons: item.comparisons };
          })
          .sort((a, b) => b.utility - a.utility);
      });
    },
    heldOutAccuracy: accuracy,
    enough: (session, given) => {
      const decided = given.filter(isDecided).length;
      if (decided >= ENOUGH.manyVotes) return true;
      return decided >= ENOUGH.votes && (accuracy(session, given) ?? 0) >= ENOUGH.accuracy;
    },
  };
}

/**
 * The pictures to choose the next question from. Small sessions: all of them. Large ones: prompts with the fewest votes,
 * and of a large prompt the pictures with the fewest, equals by the seed, up to `POOL` pictures.
 */
function candidates(session: SessionRow, pool: readonly SampleRow[], given: readonly VoteRow[]): Map<string, string[]> {
  const groups = [...byPrompt(pool)].filter(([, samples]) => samples.length >= 2);
  const asked = new Map<string, number>();
  for (const vote of given) {
    for (const key of [vote.prompt, ...vote.slots]) asked.set(key, (asked.get(key) ?? 0) + 1);
  }
  const times = (key: string) => asked.get(key) ?? 0;
  // A prompt whose every question was asked twice is done: with few votes it would be chosen again and again.
  const limit = (n: number) => (session.mode === 'pair' ? n * (n - 1) : n <= BEST_OF ? 2 : Number.POSITIVE_INFINITY);
  const open = groups.filter(([prompt, samples]) => times(prompt) < limit(samples.length));
  const rng = new Rng(session.seed).fork('pool', given.length);
  const chosen = new Map<string, string[]>();
  let room = POOL;
  for (const [prompt, samples] of rng.shuffle(open).sort((a, b) => times(a[0]) - times(b[0]))) {
    if (room < 2) break;
    const ids = samples.map((sample) => sample.id);
    const taken =
      ids.length <= room
        ? ids
        : rng
            .shuffle(ids)
            .sort((a, b) => times(a) - times(b))
            .slice(0, room);
    chosen.set(prompt, taken);
    room -= taken.length;
  }
  return chosen;
}

function comparisonOf(vote: VoteRow): Comparison {
  const items = [...vote.slots];
  if (vote.winnerId !== null) return { type: 'best', items, winner: vote.winnerId };
  const [left, right] = items;
  if (items.length === 2 && left !== undefined && right !== undefined && vote.outcome !== null) {
    return { type: 'pair', items: [left, right], outcome: vote.outcome, strong: vote.strong };
  }
  return { type: 'best', items, winner: null, outcome: vote.outcome === 'both-bad' ? 'both-bad' : 'skip' };
}

function isDecided({ outcome, winnerId }: VoteRow): boolean {
  return winnerId !== null || outcome === 'left' || outcome === 'right';
}

function fitOptions(votes: readonly VoteRow[]): { tieThreshold: number } {
  return { tieThreshold: votes.some((vote) => vote.outcome === 'tie') ? TIE_THRESHOLD : 0 };
}

function byPrompt<T extends { readonly prompt: string }>(rows: readonly T[]): Map<string, T[]> {
  return Map.groupBy(rows, (row) => row.prompt);
}
