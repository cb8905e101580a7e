import { describe, expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import {
  type Comparison,
  fitBradleyTerry,
  type NextQuestion,
  nextBestOf,
  nextPair,
} from '#pipelines/preferences/index.ts';
import { answer, simulate } from './rater.ts';

const prompts = new Map([
  ['rose', ['r0', 'r1', 'r2', 'r3']],
  ['tulip', ['t0', 't1', 't2']],
  ['lonely', ['l0']],
]);
const skip = ({ slots }: NextQuestion): Comparison => ({
  type: 'pair',
  items: [slots[0]!, slots[1]!],
  outcome: 'skip',
});

describe('the next pair', () => {
  test('stays within a prompt, asks each pair at most twice, and ends', () => {
    const comparisons: Comparison[] = [];
    const asked = new Map<string, number>();
    for (;;) {
      const question = nextPair({ prompts, comparisons, seed: 1 });
      if (question === null) break;
      expect(prompts.get(question.prompt)).toEqual(expect.arrayContaining([...question.slots]));
      expect(new Set(question.slots).size).toBe(2);
      const key = [...question.slots].sort().join();
      asked.set(key, (asked.get(key) ?? 0) + 1);
      comparisons.push(skip(question));
    }
    expect([...asked.values()]).toEqual(Array(6 + 3).fill(2));
  });

  test('first reaches every item, and shows nothing twice in a row while there is a choice', () => {
    const comparisons: Comparison[] = [];
    const seen = new Set<string>();
    for (let i = 0; i < 6; i++) {
      const question = nextPair({ prompts, comparisons, seed: 5 })!;
      const last = comparisons.at(-1)?.items ?? [];
      if (i === 0) expect(question.rule).toBe('coverage');
      expect(question.slots.some((s) => last.includes(s))).toBe(false);
      for (const s of question.slots) seen.add(s);
      comparisons.push({ type: 'pair', items: question.slots as [string, string], outcome: 'left' });
    }
    expect(seen.size).toBe(7);
  });

  test('depends on the seed and the answers alone, and draws sides evenly', () => {
    expect(nextPair({ prompts, comparisons: [], seed: 3 })).toEqual(nextPair({ prompts, comparisons: [], seed: 3 }));
    let swapped = 0;
    for (let seed = 0; seed < 200; seed++) {
      const { slots } = nextPair({ prompts: new Map([['p', ['a', 'b']]]), comparisons: [], seed })!;
      if (slots[0] === 'b') swapped++;
    }
    // Four standard deviations of 200 fair coins.
    expect(Math.abs(swapped - 100)).toBeLessThan(4 * Math.sqrt(50));
  });

  test('prefers an uncertain pair to one already settled', () => {
    const comparisons: Comparison[] = [];
    const vote = (a: string, b: string, times: number) => {
      for (let i = 0; i < times; i++) comparisons.push({ type: 'pair', items: [a, b], outcome: 'left' });
    };
    vote('a', 'b', 10);
    vote('c', 'd', 1);
    const two = new Map([
      ['settled', ['a', 'b']],
      ['open', ['c', 'd']],
    ]);
    expect(nextPair({ prompts: two, comparisons, seed: 0, maxAsks: 99 })).toMatchObject({
      prompt: 'open',
      rule: 'information',
    });
  });

  test('ranks a set better than random pairs do, at the same number of answers', () => {
    const rater = { tieThreshold: 0.4, bias: 0.3 };
    let chosen = 0;
    let random = 0;
    for (let seed = 0; seed < 12; seed++) {
      const rng = new Rng(seed).fork('utilities');
      const utilities = new Map(Array.from({ length: 16 }, (_, i) => [`i${i}`, 1.5 * rng.normal()]));
      const one = new Map([['p', [...utilities.keys()]]]);
      const votes: Comparison[] = [];
      while (votes.length < 48) {
        const { slots } = nextPair({ prompts: one, comparisons: votes, seed })!;
        votes.push(answer(utilities, slots as [string, string], new Rng(seed).fork('vote', votes.length), rater));
      }
      chosen += kendall(utilities, votes);
      random += kendall(utilities, simulate(utilities, 48, new Rng(seed).fork('random'), rater));
    }
    expect(chosen).toBeGreaterThan(random);
  });
});

/** Kendall's τ between the true order and the fitted one. */
function kendall(utilities: ReadonlyMap<string, number>, votes: readonly Comparison[]): number {
  const { items } = fitBradleyTerry(votes, { items: [...utilities.keys()] });
  const ids = [...utilities.keys()];
  let sum = 0;
  for (const [i, a] of ids.entries()) {
    for (const b of ids.slice(i + 1)) {
      sum +=
        Math.sign(utilities.get(a)! - utilities.get(b)!) * Math.sign(items.get(a)!.utility - items.get(b)!.utility);
    }
  }
  return sum / ((ids.length * (ids.length - 1)) / 2);
}

describe('the next best-of-n', () => {
  test('shows n different items of one prompt, fewer where there are fewer, and ends', () => {
    const comparisons: Comparison[] = [];
    const sizes = new Set<number>();
    for (let i = 0; i < 50; i++) {
      const question = nextBestOf({ prompts, comparisons, seed: 2, n: 4, maxAsks: 1 });
      if (question === null) break;
      sizes.add(question.slots.length);
      expect(new Set(question.slots).size).toBe(question.slots.length);
      expect(prompts.get(question.prompt)).toEqual(expect.arrayContaining([...question.slots]));
      comparisons.push({ type: 'best', items: [...question.slots], winner: question.slots[0]! });
    }
    expect(sizes).toEqual(new Set([4, 3]));
    expect(comparisons).toHaveLength(2);
    expect(() => nextBestOf({ prompts, comparisons, seed: 2, n: 1 })).toThrow(RangeError);
  });

  test('reaches every item of a large prompt before it repeats any', () => {
    const many = new Map([['p', Array.from({ length: 12 }, (_, i) => `i${i}`)]]);
    const comparisons: Comparison[] = [];
    for (let i = 0; i < 3; i++) {
      const { slots } = nextBestOf({ prompts: many, comparisons, seed: 4, n: 4 })!;
      comparisons.push({ type: 'best', items: [...slots], winner: slots[0]! });
    }
    expect(new Set(comparisons.flatMap((c) => c.items)).size).toBe(12);
  });
});
