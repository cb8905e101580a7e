import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { d3poLoss } from '#pipelines/finetune/d3po-loss.ts';

const ratio = fc.double({ min: -2, max: 2, noNaN: true });
const beta = fc.double({ min: 0.01, max: 5, noNaN: true });

describe('the D3PO loss', () => {
  test('starts at ln 2 when the policy is the reference', () => {
    expect(d3poLoss(0, 0, 0.1, 0.1).loss).toBeCloseTo(0.693147, 6);
  });

  prop.prop([ratio, ratio])('with β .1 and clip .1 never leaves [0.683164, 0.703231]', (w, l) => {
    const { loss } = d3poLoss(w, l, 0.1, 0.1);
    expect(loss).toBeGreaterThanOrEqual(0.683164 - 5e-7);
    expect(loss).toBeLessThanOrEqual(0.703231 + 5e-7);
  });

  test('reaches both bounds', () => {
    expect(d3poLoss(1, -1, 0.1, 0.1).loss).toBeCloseTo(0.683164, 6);
    expect(d3poLoss(-1, 1, 0.1, 0.1).loss).toBeCloseTo(0.703231, 6);
  });

  test('saturates: past the clip a ratio has no gradient, the other keeps its own', () => {
    expect(d3poLoss(Math.log(1.1) + 1e-6, 0, 0.1, 0.1)).toMatchObject({ gradWinner: -0 });
    expect(d3poLoss(Math.log(1.1) + 1e-6, 0, 0.1, 0.1).gradLoser).toBeGreaterThan(0.04);
    expect(d3poLoss(0, Math.log(0.9) - 1e-6, 0.1, 0.1).gradLoser).toBe(0);
  });

  prop.prop([ratio, ratio, beta])('of a tie is ln 2 without gradient', (w, l, b) => {
    expect(d3poLoss(w, l, b, 0.1, true)).toEqual({ loss: Math.LN2, gradWinner: 0, gradLoser: 0 });
  });

  prop.prop([ratio, ratio, beta, fc.constantFrom(null, 0.1, 0.5)])(
    'has the gradient of central differences',
    (w, l, b, clip) => {
      // The clamp has a corner, where no derivative is asked for.
      const corners = clip === null ? [] : [Math.log(1 - clip), Math.log(1 + clip)];
      fc.pre(corners.every((c) => Math.abs(w - c) > 1e-4 && Math.abs(l - c) > 1e-4));
      const e = 1e-6;
      const { gradWinner, gradLoser } = d3poLoss(w, l, b, clip);
      expect((d3poLoss(w + e, l, b, clip).loss - d3poLoss(w - e, l, b, clip).loss) / (2 * e)).toBeCloseTo(
        gradWinner,
        7,
      );
      expect((d3poLoss(w, l + e, b, clip).loss - d3poLoss(w, l - e, b, clip).loss) / (2 * e)).toBeCloseTo(gradLoser, 7);
    },
  );

  prop.prop([ratio, ratio, beta])('without a clip is DPO', (w, l, b) => {
    expect(d3poLoss(w, l, b, null).loss).toBeCloseTo(-Math.log(1 / (1 + Math.exp(-b * (w - l)))), 9);
  });

  test('is least, for a share p of votes, where the log-ratio difference is logit(p)/β', () => {
    const p = 0.8;
    const b = 0.5;
    const risk = (d: number) =>
      p * d3poLoss(d / 2, -d / 2, b, null).loss + (1 - p) * d3poLoss(-d / 2, d / 2, b, null).loss;
    let low = -20;
    let high = 20;
    for (let i = 0; i < 200; i++) {
      const a = low + (high - low) / 3;
      const c = high - (high - low) / 3;
      if (risk(a) < risk(c)) high = c;
      else low = a;
    }
    expect(low).toBeCloseTo(Math.log(p / (1 - p)) / b, 5);
  });

  test('does not overflow at extreme log-ratios', () => {
    expect(d3poLoss(-1e6, 1e6, 1, null)).toEqual({ loss: 2e6, gradWinner: -1, gradLoser: 1 });
    expect(d3poLoss(1e6, -1e6, 1, null).loss).toBe(0);
    expect(() => d3poLoss(0, 0, 0.1, 1)).toThrow(RangeError);
  });
});
