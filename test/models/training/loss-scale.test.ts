import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { createLossScale, DYNAMIC_LOSS_SCALE, nextLossScale, staticLossScale } from '#models/training/loss-scale.ts';

const history = fc.array(fc.boolean(), { maxLength: 60 });

describe('dynamic loss scale', () => {
  test.prop([history, fc.integer({ min: 1, max: 5 })])(
    'is the initial one, doubled for each full row of good updates and halved for each overflow',
    (finite, growthInterval) => {
      const config = { ...DYNAMIC_LOSS_SCALE, growthInterval };
      const state = createLossScale(config);
      let rows = 0;
      let run = 0;
      let overflows = 0;
      for (const ok of finite) {
        if (rows - overflows <= -29 || rows - overflows >= 8) return;
        expect(nextLossScale(state, config, ok)).toBe(ok);
        if (!ok) overflows += 1;
        run = ok ? run + 1 : 0;
        if (run === growthInterval) {
          rows += 1;
          run = 0;
        }
        expect(Math.log2(state.scale)).toBe(16 + rows - overflows);
        expect(state.goodSteps).toBe(run);
      }
    },
  );

  test('stops growing at 2²⁴', () => {
    const config = { ...DYNAMIC_LOSS_SCALE, growthInterval: 1 };
    const state = createLossScale(config);
    for (let i = 0; i < 50; i++) nextLossScale(state, config, true);
    expect(state.scale).toBe(2 ** 24);
  });

  test('gives up when halving has not helped thirty times', () => {
    const state = createLossScale(DYNAMIC_LOSS_SCALE);
    for (let i = 0; i < 30; i++) expect(nextLossScale(state, DYNAMIC_LOSS_SCALE, false)).toBe(false);
    expect(() => nextLossScale(state, DYNAMIC_LOSS_SCALE, false)).toThrow(/diverged|not a number/);
  });
});

describe('static loss scale', () => {
  test.prop([fc.integer({ min: 1, max: 100 })])('never changes', (n) => {
    const config = staticLossScale(128);
    const state = createLossScale(config);
    for (let i = 0; i < n; i++) expect(nextLossScale(state, config, true)).toBe(true);
    expect(state.scale).toBe(128);
  });

  test('must be positive and finite', () => {
    for (const scale of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => createLossScale(staticLossScale(scale))).toThrow(/positive/);
    }
  });
});
