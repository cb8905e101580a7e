import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import { type Comparison, fitBradleyTerry, heldOutAccuracy } from '#pipelines/preferences/index.ts';
import { simulate } from './rater.ts';

const pair = (left: string, right: string, outcome: 'left' | 'right' | 'tie' | 'both-bad' | 'skip'): Comparison => ({
  type: 'pair',
  items: [left, right],
  slots: [left, right],
  outcome,
});
const unbiased = { biasSd: 0, priorSd: 1 };

describe('the fit has the published values', () => {
  test('of two items and one win', () => {
    const fit = fitBradleyTerry([pair('a', 'b', 'left')], unbiased);
    expect(fit.items.get('a')!.utility).toBeCloseTo(0.337416, 6);
    expect(fit.items.get('b')!.utility).toBeCloseTo(-0.337416, 6);
    expect(fit.difference('a', 'b').mean).toBeCloseTo(0.674832, 6);
    expect(fit.difference('a', 'b').sd ** 2).toBeCloseTo(1.382043, 6);
  });

  test('of three items in a row with a tie', () => {
    const votes = [pair('a', 'b', 'left'), pair('b', 'c', 'left'), pair('a', 'c', 'tie')];
    const fit = fitBradleyTerry(votes, { ...unbiased, tieThreshold: 0.3 });
    const of = (id: string) => fit.items.get(id)!;
    expect(of('a').utility).toBeCloseTo(0.260453, 6);
    expect(of('b').utility).toBeCloseTo(0, 9);
    expect(of('c').utility).toBeCloseTo(-0.260453, 6);
    expect(of('a').sd).toBeCloseTo(0.811904, 6);
    expect(of('b').sd).toBeCloseTo(0.845192, 6);
    expect(fit.difference('a', 'c').sd).toBeCloseTo(0.960419, 6);
    expect(-fit.logPosterior).toBeCloseTo(3.464292, 6);
  });
});

test('two items: the difference solves its one-dimensional equation for any number of wins', () => {
  for (const [wins, losses] of [
    [1, 0],
    [5, 2],
    [0, 9],
  ] as const) {
    const votes = [
      ...Array<Comparison>(wins).fill(pair('a', 'b', 'left')),
      ...Array<Comparison>(losses).fill(pair('a', 'b', 'right')),
    ];
    const { mean, sd } = fitBradleyTerry(votes, { biasSd: 0, priorSd: 1.5 }).difference('a', 'b');
    // The difference has prior variance 2·1.5²; its slope at the mode is zero.
    const p = 1 / (1 + Math.exp(-mean));
    expect(wins - (wins + losses) * p - mean / 4.5).toBeCloseTo(0, 9);
    expect(1 / sd ** 2).toBeCloseTo((wins + losses) * p * (1 - p) + 1 / 4.5, 9);
  }
});

const votesOf = (seed: number, count: number) => {
  const rng = new Rng(seed);
  const utilities = new Map(Array.from({ length: 6 }, (_, i) => [`i${i}`, 1.5 * rng.normal()]));
  return { rng, utilities, votes: simulate(utilities, count, rng, { tieThreshold: 0.4, bias: 0.3 }) };
};

describe('the fit', () => {
  prop.prop([fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 1, max: 40 })], { numRuns: 20 })(
    'does not depend on the order of the votes or the names of the items',
    (seed, count) => {
      const { rng, votes } = votesOf(seed, count);
      const fit = fitBradleyTerry(votes);
      const name = (id: string) => `z${9 - Number(id.slice(1))}`;
      const renamed = rng.shuffle(votes).map((v) => {
        const slots = v.slots!.map(name) as [string, string];
        return { ...v, items: slots, slots };
      });
      const other = fitBradleyTerry(renamed);
      expect(other.items.size).toBe(fit.items.size);
      for (const [id, item] of fit.items) {
        const same = other.items.get(name(id))!;
        expect(same.utility).toBeCloseTo(item.utility, 7);
        expect(same.sd).toBeCloseTo(item.sd, 7);
        expect(same.comparisons).toBe(item.comparisons);
      }
    },
  );

  prop.prop([fc.integer({ min: 0, max: 1e6 })], { numRuns: 20 })(
    'mirrors: swapped sides and outcomes only negate the bias',
    (seed) => {
      const { votes } = votesOf(seed, 30);
      const flip = { left: 'right', right: 'left', tie: 'tie' } as const;
      const mirrored = votes.map((v) => ({
        ...v,
        slots: [v.slots![1], v.slots![0]] as [string, string],
        outcome: flip[v.outcome],
      }));
      const [a, b] = [fitBradleyTerry(votes), fitBradleyTerry(mirrored)];
      expect(b.bias).toBeCloseTo(-a.bias, 7);
      for (const [id, item] of a.items) expect(b.items.get(id)!.utility).toBeCloseTo(item.utility, 7);
    },
  );

  test('recovers utilities, side bias and tie threshold of simulated raters within their posterior sd', () => {
    let squares = 0;
    let covered = 0;
    let total = 0;
    for (let seed = 0; seed < 30; seed++) {
      const { utilities, votes } = votesOf(seed, 120);
      const { items } = fitBradleyTerry(votes);
      const shift = [...utilities.values()].reduce((a, b) => a + b, 0) / utilities.size;
      for (const [id, { utility, sd }] of items) {
        // The sd includes the prior's freedom of the common level (priorSd² / 6), which is not at stake here.
        const z = (utility - (utilities.get(id)! - shift)) / Math.sqrt(sd ** 2 - 1.5 ** 2 / 6);
        squares += z * z;
        covered += Math.abs(z) < 1.645 ? 1 : 0;
        total++;
      }
    }
    expect(squares / total).toBeGreaterThan(0.6);
    expect(squares / total).toBeLessThan(1.4);
    expect(covered / total).toBeGreaterThan(0.82);
    const { votes } = votesOf(3, 3000);
    const fit = fitBradleyTerry(votes);
    expect(Math.abs(fit.bias - 0.3)).toBeLessThan(3 * fit.biasSd);
    // The profile grid has steps of 14 %, and 3000 votes add about 5 %.
    expect(Math.abs(Math.log(fit.tieThreshold / 0.4))).toBeLessThan(0.2);
  });

  test('leaves an item that was never compared at the prior, and skips teach nothing', () => {
    const fit = fitBradleyTerry([pair('a', 'b', 'left'), pair('a', 'c', 'skip'), pair('b', 'c', 'both-bad')], {
      items: ['d'],
    });
    for (const id of ['c', 'd']) expect(fit.items.get(id)).toMatchObject({ utility: 0, sd: 1.5, comparisons: 0 });
    expect(fit.connected).toBe(false);
    expect(fitBradleyTerry([pair('a', 'b', 'left')]).connected).toBe(true);
  });

  test('a contradicting vote brings two items closer', () => {
    const one = fitBradleyTerry([pair('a', 'b', 'left')]).difference('a', 'b').mean;
    const two = fitBradleyTerry([pair('a', 'b', 'left'), pair('a', 'b', 'right')], unbiased).difference('a', 'b').mean;
    expect(two).toBeCloseTo(0, 9);
    expect(one).toBeGreaterThan(0.5);
  });

  test('prompts that share no item are fitted as if alone, when there is no side bias', () => {
    const [x, y] = [votesOf(1, 20).votes, votesOf(2, 20).votes];
    const tag = (votes: typeof x, t: string) =>
      votes.map((v) => ({
        ...v,
        items: v.items.map((i) => t + i) as [string, string],
        slots: v.slots!.map((i) => t + i) as [string, string],
      }));
    const options = { biasSd: 0, tieThreshold: 0.4 };
    const together = fitBradleyTerry([...tag(x, 'x'), ...tag(y, 'y')], options);
    const alone = fitBradleyTerry(tag(y, 'y'), options);
    for (const [id, item] of alone.items) {
      expect(together.items.get(id)!.utility).toBeCloseTo(item.utility, 9);
      expect(together.items.get(id)!.sd).toBeCloseTo(item.sd, 9);
    }
  });

  test('of a best-of-n and a ranking has zero gradient of the Plackett–Luce posterior', () => {
    const votes: Comparison[] = [
      { type: 'best', items: ['a', 'b', 'c', 'd'], winner: 'b' },
      { type: 'rank', items: ['a', 'b', 'c'], order: ['c', 'b', 'a'] },
    ];
    const { items } = fitBradleyTerry(votes, { priorSd: 1 });
    const logPosterior = (shift: Record<string, number>) => {
      const u = (id: string) => items.get(id)!.utility + (shift[id] ?? 0);
      const pick = (w: string, from: string[]) => u(w) - Math.log(from.reduce((s, i) => s + Math.exp(u(i)), 0));
      const prior = ['a', 'b', 'c', 'd'].reduce((s, i) => s - u(i) ** 2 / 2, 0);
      return pick('b', ['a', 'b', 'c', 'd']) + pick('c', ['a', 'b', 'c']) + pick('b', ['a', 'b']) + prior;
    };
    const e = 1e-5;
    for (const id of ['a', 'b', 'c', 'd']) {
      expect((logPosterior({ [id]: e }) - logPosterior({ [id]: -e })) / (2 * e)).toBeCloseTo(0, 7);
    }
  });

  test('a best of two is a pair without sides', () => {
    const best = fitBradleyTerry([{ type: 'best', items: ['a', 'b'], winner: 'a' }], unbiased);
    expect(best.difference('a', 'b').mean).toBeCloseTo(0.674832, 6);
  });

  test('hundreds of one-sided votes still settle', () => {
    const fit = fitBradleyTerry(Array<Comparison>(800).fill(pair('a', 'b', 'left')), { priorSd: 3 });
    expect(fit.difference('a', 'b').mean).toBeGreaterThan(5);
  });

  test('a threshold of 0 with ties is refused', () => {
    expect(() => fitBradleyTerry([pair('a', 'b', 'tie')], { tieThreshold: 0 })).toThrow(
      expect.objectContaining({ code: 'preferences/options' }),
    );
  });
});

describe('held-out accuracy', () => {
  test('is high for a consistent rater, about a half for a coin, and the same each time', () => {
    const utilities = new Map(Array.from({ length: 8 }, (_, i) => [`i${i}`, 4 * i]));
    const sure = simulate(utilities, 100, new Rng(1), { tieThreshold: 0, bias: 0 });
    const coin = simulate(new Map([...utilities.keys()].map((k) => [k, 0])), 400, new Rng(2), {
      tieThreshold: 0,
      bias: 0,
    });
    expect(heldOutAccuracy(sure)!.accuracy).toBeGreaterThan(0.9);
    const { accuracy, decided, interval } = heldOutAccuracy(coin)!;
    expect(decided).toBe(400);
    expect(interval[0]).toBeLessThan(0.5);
    expect(interval[1]).toBeGreaterThan(0.5);
    expect(heldOutAccuracy(coin)!.accuracy).toBe(accuracy);
  });

  test('of items seen in no other vote is an even guess, and of one vote there is none', () => {
    expect(heldOutAccuracy([pair('a', 'b', 'left'), pair('c', 'd', 'left')], { biasSd: 0 })!.accuracy).toBe(0.5);
    expect(heldOutAccuracy([pair('a', 'b', 'left'), pair('a', 'b', 'tie')])).toBeNull();
  });
});
