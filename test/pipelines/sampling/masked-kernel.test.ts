import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import {
  countOf,
  drawReveals,
  fillPositions,
  guidedLogProbs,
  NEVER,
  stepKernel,
  stepLogProb,
  subsLogProbs,
} from '#pipelines/sampling/masked-kernel.ts';
import type { MaskedStep } from '#pipelines/schedulers/types.ts';

const MASK = 3;
const LETTERS = [0, 1, 2];
const half: MaskedStep = { time: 0.5, reveal: 0.5, fill: 'sample' };
const one: MaskedStep = { time: null, reveal: 'one', fill: 'sample' };

const scene = fc.record({
  tokens: fc.array(fc.integer({ min: 0, max: MASK }), { minLength: 1, maxLength: 3 }).map((t) => Int32Array.from(t)),
  seed: fc.nat(),
  step: fc.oneof(
    fc.record({
      time: fc.constant(0.5),
      reveal: fc.double({ min: 0.01, max: 0.99, noNaN: true }),
      fill: fc.constantFrom('sample' as const, 'argmax' as const),
    }),
    fc.constant(one),
    fc.constant<MaskedStep>({ time: 0, reveal: 1, fill: 'argmax' }),
  ),
});
const logitsFor = (tokens: Int32Array, seed: number) => {
  const rng = new Rng(seed);
  return Float64Array.from({ length: tokens.length * 4 }, () => 3 * rng.normal());
};
const everySequence = (length: number) =>
  Array.from({ length: 4 ** length }, (_, n) =>
    Int32Array.from({ length }, (__, i) => Math.floor(n / 4 ** (length - 1 - i)) % 4),
  );

describe('log-probabilities of a network', () => {
  test('are those of the letters alone; the mask is never written and what is revealed is certain', () => {
    const logits = [Math.log(0.7), Math.log(0.2), Math.log(0.1), 9, 1, 2, 3, 4];
    const logProbs = subsLogProbs(logits, Int32Array.of(MASK, 1), MASK, LETTERS);
    expect(Array.from(logProbs.subarray(0, 3), Math.exp).map((p) => p.toFixed(12))).toEqual([
      '0.700000000000',
      '0.200000000000',
      '0.100000000000',
    ]);
    expect(Array.from(logProbs.subarray(3))).toEqual([NEVER, NEVER, 0, NEVER, NEVER]);
  });

  test('stay finite where the network rules letters out, and say so where it gives no number', () => {
    const out = subsLogProbs([0, Number.NEGATIVE_INFINITY, -1e30, 0], Int32Array.of(MASK), MASK, LETTERS);
    expect(Array.from(out)).toEqual([0, NEVER, NEVER, NEVER]);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(subsLogProbs([0, bad, 0, 0], Int32Array.of(MASK), MASK, LETTERS).every(Number.isFinite)).toBe(false);
    }
  });

  prop.prop([scene])('do not change when they are given in place of logits', ({ tokens, seed }) => {
    const once = subsLogProbs(logitsFor(tokens, seed), tokens, MASK, LETTERS);
    const twice = subsLogProbs(once, tokens, MASK, LETTERS);
    for (const [i, v] of once.entries()) expect(twice[i]).toBeCloseTo(v, 10);
  });
});

describe('one step', () => {
  test('from t = ½ to ¼ with (.7, .2, .1) has (.35, .10, .05) and .50 for the mask', () => {
    const logProbs = subsLogProbs([0.7, 0.2, 0.1, 1].map(Math.log), Int32Array.of(MASK), MASK, LETTERS);
    const kernel = stepKernel(half, Int32Array.of(MASK), logProbs, MASK);
    [0.35, 0.1, 0.05, 0.5].forEach((p, k) => {
      expect(kernel[k]).toBeCloseTo(p, 12);
    });
  });

  prop.prop([scene])(
    'has probabilities that sum to one over all sequences it may lead to',
    ({ tokens, seed, step }) => {
      if (countOf(tokens, MASK) === 0) return;
      const logProbs = subsLogProbs(logitsFor(tokens, seed), tokens, MASK, LETTERS);
      const kernel = stepKernel(step, tokens, logProbs, MASK);
      const marginal = new Float64Array(kernel.length);
      let sum = 0;
      for (const next of everySequence(tokens.length)) {
        const p = Math.exp(stepLogProb(step, tokens, next, logProbs, MASK));
        sum += p;
        for (const [i, k] of next.entries()) marginal[i * 4 + k]! += p;
        if (step.reveal === 'one') continue;
        expect(p).toBeCloseTo(
          next.reduce((product, k, i) => product * kernel[i * 4 + k]!, 1),
          12,
        );
      }
      expect(sum).toBeCloseTo(1, 10);
      for (const [j, p] of marginal.entries()) expect(kernel[j]).toBeCloseTo(p, 10);
    },
  );

  prop.prop([scene])('leads only to sequences it gives a probability', ({ tokens, seed, step }) => {
    const logProbs = subsLogProbs(logitsFor(tokens, seed), tokens, MASK, LETTERS);
    const rng = new Rng(seed).fork('step');
    const next = fillPositions(step, tokens, drawReveals(step, tokens, MASK, rng), logProbs, rng);
    if (countOf(tokens, MASK) === 0) expect(next).toEqual(tokens);
    else expect(stepLogProb(step, tokens, next, logProbs, MASK)).toBeGreaterThan(-100);
  });

  test('reveals the same positions of sequences that differ in what is written', () => {
    const reveals = (tokens: number[]) => drawReveals(half, Int32Array.from(tokens), MASK, new Rng(5));
    const all = reveals([3, 3, 3, 3, 3, 3, 3, 3]);
    expect(all.length).toBeGreaterThan(1);
    expect(reveals([3, 0, 3, 1, 3, 2, 3, 3])).toEqual(all.filter((i) => ![1, 3, 5].includes(i)));
  });

  test('by argmax takes the first letter of a tie', () => {
    const logProbs = subsLogProbs([0, 1, 1, 1], Int32Array.of(MASK), MASK, LETTERS);
    const step: MaskedStep = { time: 0, reveal: 1, fill: 'argmax' };
    expect(Array.from(fillPositions(step, Int32Array.of(MASK), [0], logProbs, new Rng(0)))).toEqual([1]);
  });
});

describe('guidance', () => {
  const logProbs = (p: number[]) => subsLogProbs([...p.map(Math.log), 0], Int32Array.of(MASK), MASK, LETTERS);
  const [uncond, cond] = [logProbs([0.2, 0.3, 0.5]), logProbs([0.6, 0.3, 0.1])];

  test('at 1 is the conditional model, at 0 the unconditional', () => {
    for (const [scale, expected] of [
      [1, cond],
      [0, uncond],
    ] as const) {
      guidedLogProbs(uncond, cond, scale, 4).forEach((v, i) => {
        expect(v).toBeCloseTo(expected[i]!, 10);
      });
    }
  });

  test('at 2 is cond²/uncond, normalised', () => {
    const weights = [0.36 / 0.2, 0.09 / 0.3, 0.01 / 0.5];
    const total = weights.reduce((a, b) => a + b, 0);
    const guided = guidedLogProbs(uncond, cond, 2, 4);
    weights.forEach((w, k) => {
      expect(Math.exp(guided[k]!)).toBeCloseTo(w / total, 12);
    });
    expect(guided[MASK]).toBe(NEVER);
  });

  test('never writes what the conditional model rules out', () => {
    const without = logProbs([0, 0.5, 0.5]);
    expect(guidedLogProbs(uncond, without, 0.5, 4)[0]).toBe(NEVER);
    expect(guidedLogProbs(without, cond, 0.5, 4).every(Number.isFinite)).toBe(true);
  });
});
