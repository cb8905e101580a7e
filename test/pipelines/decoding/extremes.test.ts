import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { createSteering } from '#pipelines/decoding/index.ts';
import type { Clean, Score } from '#pipelines/sampling/steering.ts';
import { createMaskedSchedule, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { finish } from './toys.ts';

const MASK = 2;
const LENGTH = 5;
const schedule = createMaskedSchedule(parseMaskedSchedulerConfig({}), { name: 'masked', steps: 4, length: LENGTH });
/** Two letters, equally likely. */
const denoiser = {
  maskId: MASK,
  timeConditioned: true,
  predict: async (queries: readonly { readonly tokens: Int32Array }[]) =>
    queries.map(({ tokens }) =>
      Float64Array.from({ length: tokens.length * 3 }, (_, i) => (i % 3 < 2 ? -Math.LN2 : -1e6)),
    ),
};
const placeOf = (tokens: Clean): number => Array.from(tokens).reduce((n, k) => 2 * n + k, 0);

async function decode(name: string, options: Readonly<Record<string, unknown>>, score: Score) {
  const steering = createSteering(name, options);
  const rows = Array.from({ length: 3 * steering.perSample }, (_, index) => ({
    ...{ condition: null, seed: 11, index },
    start: new Int32Array(LENGTH).fill(MASK),
  }));
  return finish(steering.masked({ denoiser, schedule, rows }, score));
}

/** Rewards of all 32 sequences, some of them as large as numbers of a lab's program may be. */
const tables = fc.array(
  fc.oneof(fc.constant(0), fc.double({ min: -1, max: 1, noNaN: true }), fc.constantFrom(-1e12, 1e12, 1e-12)),
  { minLength: 2 ** LENGTH, maxLength: 2 ** LENGTH },
);
const alphas = fc.constantFrom(1e-9, 1e-3, 0.1, 1e6);

describe.each([
  ['svdd-pm', { candidates: 3 }],
  ['svdd-pm', { candidates: 4, screen: 2 }],
  ['smc', { particles: 4, threshold: 1 }],
  ['smc', { particles: 4, potential: 'max', resampling: 'ssp' }],
  ['smc', { particles: 4, potential: 'sum', every: 2 }],
  ['revise', { candidates: 3, rounds: 2, accept: 'metropolis' }],
  ['beam', { width: 2, branch: 2 }],
  ['tree', { branch: 2, depth: 3, budget: 3 }],
  ['best-of-n', { candidates: 3 }],
] as const)('%s with %o', (name, options) => {
  test.prop([tables, alphas], { numRuns: 12 })(
    'finishes samples worth what it says, with finite weights, however far rewards are apart',
    async (table, alpha) => {
      const score: Score = async (samples) => Float64Array.from(samples, (s) => table[placeOf(s)]!);
      const own = name === 'best-of-n' ? options : { ...options, alpha };
      const { samples, rewards, logWeights } = await decode(name, own, score);
      expect(samples).toHaveLength(3);
      for (const [i, sample] of samples.entries()) {
        expect(sample).not.toContain(MASK);
        expect(rewards[i]).toBe(table[placeOf(sample)]);
      }
      expect(Array.from(logWeights ?? []).every(Number.isFinite)).toBe(true);
    },
  );

  test.prop([tables, alphas], { numRuns: 6 })(
    'makes of equal rewards samples of even weight',
    async ([level = 0], alpha) => {
      const score: Score = async (samples) => new Float64Array(samples.length).fill(level);
      const own = name === 'best-of-n' ? options : { ...options, alpha };
      const { logWeights } = await decode(name, own, score);
      const expected = level / alpha;
      // Rounding of sums of a handful of terms as large as the weight.
      for (const w of logWeights ?? [])
        expect(Math.abs(w - expected)).toBeLessThanOrEqual(1e-12 * (1 + Math.abs(expected)));
    },
  );
});
