import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';

const id = z.string().min(1);
const outcome = z.enum(['left', 'right', 'tie', 'both-bad', 'skip']);

const pair = z.looseObject({
  type: z.literal('pair'),
  items: z.tuple([id, id]),
  /** Order shown, left then right. Absent: `items` is that order. */
  slots: z.tuple([id, id]).optional(),
  outcome,
  strong: z.boolean().optional(),
  trialIndex: z.number().int().min(0).optional(),
});
const best = z.looseObject({
  type: z.literal('best'),
  items: z.array(id).min(2),
  /** Null with `outcome` `skip` or `both-bad`. */
  winner: id.nullable().default(null),
  outcome: z.enum(['skip', 'both-bad']).optional(),
  trialIndex: z.number().int().min(0).optional(),
});
const rank = z.looseObject({
  type: z.literal('rank'),
  items: z.array(id).min(2),
  /** Best first. */
  order: z.array(id).min(2),
  trialIndex: z.number().int().min(0).optional(),
});
const comparison = z.discriminatedUnion('type', [pair, best, rank]);
const voids = z.looseObject({ voids: z.number().int().min(0) });

export type Outcome = z.infer<typeof outcome>;
/** One answered question. Unknown fields of its line are kept. */
export type Comparison = z.infer<typeof comparison>;
/** A line of the append-only log: an answer, or the withdrawal of the answer whose `trialIndex` is `voids`. */
export type ComparisonEvent = Comparison | z.infer<typeof voids>;

/**
 * The log of a session, one JSON object per line; blank lines are skipped.
 * @throws {NorthlightError} `comparisons/format` naming the line.
 */
export function parseComparisonLog(text: string, where = 'the comparison file'): ComparisonEvent[] {
  return text
    .split('\n')
    .flatMap((line, i) => (line.trim() === '' ? [] : [parseLine(line, `${where}, line ${i + 1}`)]));
}

function parseLine(line: string, where: string): ComparisonEvent {
  const refuse = (why: string) =>
    new NorthlightError('comparisons/format', `${where}: ${why}.`, 'Correct or remove that line.');
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    throw refuse('not a JSON object');
  }
  const isVoid = typeof json === 'object' && json !== null && 'voids' in json && !('type' in json);
  const parsed = isVoid ? voids.safeParse(json) : comparison.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw refuse(`${issue.path.join('.') || 'comparison'}: ${issue.message}`);
  }
  const wrong = 'type' in parsed.data ? inconsistency(parsed.data as Comparison) : null;
  if (wrong !== null) throw refuse(wrong);
  return parsed.data;
}

function inconsistency(c: Comparison): string | null {
  const items = new Set(c.items);
  if (items.size !== c.items.length) return 'an item is compared with itself';
  if (c.type === 'pair' && c.slots !== undefined && !isPermutation(c.slots, items)) return 'slots are not the items';
  if (c.type === 'rank' && !isPermutation(c.order, items)) return 'order is not an order of the items';
  if (c.type === 'best' && c.winner !== null && !items.has(c.winner)) return 'winner is not one of the items';
  if (c.type === 'best' && (c.winner === null) === (c.outcome === undefined)) {
    return 'give either a winner or an outcome (skip, both-bad)';
  }
  return null;
}

function isPermutation(ids: readonly string[], of: ReadonlySet<string>): boolean {
  return ids.length === of.size && new Set(ids).size === of.size && ids.every((i) => of.has(i));
}

/**
 * The answers that stand: voids applied. An answer's index is its `trialIndex`, or its place among the answers (from 0). When an
 * index was answered, voided and answered again, the void takes only what stood before it.
 */
export function standingComparisons(events: readonly ComparisonEvent[]): Comparison[] {
  let standing: { index: number; comparison: Comparison }[] = [];
  let count = 0;
  for (const event of events) {
    if (!('type' in event)) {
      standing = standing.filter(({ index }) => index !== event.voids);
      continue;
    }
    const answer = event as Comparison;
    standing.push({ index: answer.trialIndex ?? count, comparison: answer });
    count++;
  }
  return standing.map(({ comparison }) => comparison);
}

/** Left and right as shown. */
export function slotsOf(c: Extract<Comparison, { type: 'pair' }>): readonly [string, string] {
  return c.slots ?? c.items;
}

export interface DecidedPair {
  readonly winner: string;
  readonly loser: string;
}

/** Who beat whom: the winner of a pair, the chosen one over each other of a best-of-n, every earlier over later of a ranking. */
export function decidedPairs(c: Comparison): DecidedPair[] {
  switch (c.type) {
    case 'pair': {
      const [left, right] = slotsOf(c);
      if (c.outcome === 'left') return [{ winner: left, loser: right }];
      if (c.outcome === 'right') return [{ winner: right, loser: left }];
      return [];
    }
    case 'best': {
      const { winner } = c;
      return winner === null ? [] : c.items.filter((i) => i !== winner).map((loser) => ({ winner, loser }));
    }
    case 'rank':
      return c.order.flatMap((winner, i) => c.order.slice(i + 1).map((loser) => ({ winner, loser })));
  }
}
