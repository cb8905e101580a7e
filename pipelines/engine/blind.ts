import { Rng } from '#models/tensor/rng.ts';
import { wilsonInterval } from '#pipelines/preferences/index.ts';
import type { Db } from '#pipelines/store/db.ts';
import { newId } from '#pipelines/store/ids.ts';
import { type SampleRow, samples } from '#pipelines/store/samples.ts';
import { type SessionRow, sessions, trials, votes } from '#pipelines/store/sessions.ts';
import type { ComparisonResult } from './contract.ts';

/**
 * Adds a finished picture to a blind session. When its counterpart (same prompt, seed and index from the other side) is
 * there, the question exists from now on: its place among the questions and its left and right are drawn from the
 * session's seed and the two pictures, the same whichever of them came first.
 */
export function addBlindSample(db: Db, session: SessionRow, sample: SampleRow): void {
  sessions.addSample(db, session.id, sample.id);
  const pair = samples
    .ofJob(db, sample.jobId)
    .filter((s) => s.prompt === sample.prompt && s.seed === sample.seed && s.index === sample.index);
  const [a, b] = ['A', 'B'].map((side) => pair.find((s) => s.side === side));
  if (!a || !b) return;

  const taken = new Set(trials.ofSession(db, session.id).map((trial) => trial.number));
  const planned = session.planned ?? 0;
  const free = Array.from({ length: planned }, (_, i) => i + 1).filter((number) => !taken.has(number));
  const rng = new Rng(session.seed).fork('blind', ...[a.hash, b.hash].sort(), sample.prompt, sample.index);
  // A comparison that was cancelled and resumed has more questions again: they follow at the end.
  const number = free.length > 0 ? rng.pick(free) : Math.max(0, ...taken) + 1;
  if (taken.size >= planned) sessions.plan(db, session.id, taken.size + 1);
  // By position in the sorted hashes, not by side: the draw must not depend on which adapter made which.
  const [first, second] = a.hash <= b.hash ? [a, b] : [b, a];
  const slots = rng.uniform() < 0.5 ? [first.id, second.id] : [second.id, first.id];
  trials.add(db, { id: newId('trial'), sessionId: session.id, number, prompt: sample.prompt, slots });
}

/**
 * Tally of a blind session, with a 95 % Wilson interval in which a tie is half a win. Skipped questions and "both bad" say nothing about A against B and are
 * not counted.
 */
export function comparisonResult(db: Db, session: SessionRow, labels: { a: string; b: string }): ComparisonResult {
  const sides = new Map(samples.ofSession(db, session.id).map((sample) => [sample.id, sample.side]));
  const perPrompt = new Map<string, { prompt: string; winsA: number; winsB: number; ties: number }>();
  for (const vote of votes.ofSession(db, session.id)) {
    let tally = perPrompt.get(vote.prompt);
    if (!tally) {
      tally = { prompt: vote.prompt, winsA: 0, winsB: 0, ties: 0 };
      perPrompt.set(vote.prompt, tally);
    }
    if (vote.outcome === 'tie') tally.ties++;
    const winner = winnerOf(vote);
    if (winner === null) continue;
    if (sides.get(winner) === 'A') tally.winsA++;
    else tally.winsB++;
  }
  const rows = [...perPrompt.values()];
  const sum = (key: 'winsA' | 'winsB' | 'ties') => rows.reduce((total, row) => total + row[key], 0);
  const [winsA, winsB, ties] = [sum('winsA'), sum('winsB'), sum('ties')];
  const answered = winsA + winsB + ties;
  const wins = winsB + ties / 2;
  return {
    sessionId: session.id,
    answered,
    total: session.planned ?? 0,
    winsA,
    winsB,
    ties,
    winRateB: answered === 0 ? null : wins / answered,
    interval: answered === 0 ? null : wilsonInterval(wins, answered),
    labelA: labels.a,
    labelB: labels.b,
    perPrompt: rows,
  };
}

/** The id of the picture a vote preferred, or null where it decided nothing. */
export function winnerOf(vote: { outcome: string | null; winnerId: string | null; slots: readonly string[] }) {
  if (vote.winnerId !== null) return vote.winnerId;
  if (vote.outcome === 'left') return vote.slots[0] ?? null;
  if (vote.outcome === 'right') return vote.slots[1] ?? null;
  return null;
}
