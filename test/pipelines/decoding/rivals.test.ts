import { expect, test } from 'vitest';
import { createSteering } from '#pipelines/decoding/index.ts';
import { type GuidedStep, guidedStepOf } from '#pipelines/sampling/guided-step.ts';
import type { Decoded, DecodingStep } from '#pipelines/sampling/steering.ts';
import { createMaskedSchedule, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';

const LENGTH = 6;
const STEPS = 5;
const MASK = 4;

/** Even odds of four letters at every mask. */
const denoiser = {
  maskId: MASK,
  timeConditioned: true,
  predict: async (queries: readonly { readonly tokens: Int32Array }[]) =>
    queries.map(({ tokens }) => {
      const out = new Float64Array(tokens.length * 5);
      for (let i = 0; i < tokens.length; i++) for (let k = 0; k < 5; k++) out[i * 5 + k] = k < 4 ? -Math.log(4) : -1e6;
      return out;
    }),
};
const schedule = createMaskedSchedule(parseMaskedSchedulerConfig({}), { name: 'masked', steps: STEPS, length: LENGTH });
const gees = (tokens: ArrayLike<number>) => Array.from(tokens).filter((t) => t === 2).length;

async function decode(name: string, options: Record<string, unknown>) {
  const steering = createSteering(name, options);
  const n = steering.perSample;
  const rows = Array.from({ length: 2 * n }, (_, index) => ({
    condition: null,
    seed: 3,
    index,
    start: new Int32Array(LENGTH).fill(MASK),
  }));
  const run = steering.masked({ denoiser, schedule, rows }, async (samples) => Float64Array.from(samples, gees));
  const steps: { step: DecodingStep; told: GuidedStep[]; guesses: number[][] }[] = [];
  for (;;) {
    const next = await run.next();
    if (next.done) return { steps, decoded: next.value as Decoded };
    const told = [0, 1].map((i) => guidedStepOf(next.value, i, n));
    const guesses = told.map(({ values, guess }) => values.map((_, k) => gees(guess(k)!)));
    steps.push({ step: next.value, told, guesses });
  }
}

test.each([
  ['svdd-pm', { candidates: 3, alpha: 0.1 }],
  ['smc', { particles: 4, alpha: 0.1 }],
  ['beam', { width: 2, branch: 3 }],
])(
  '%s: the value of each that competes is the reward of its own best guess, and parents are those that went on',
  async (name, options) => {
    const { steps } = await decode(name, options);
    let compared = 0;
    const before: (readonly number[] | null)[] = [null, null];
    for (const { told, guesses } of steps) {
      for (const [i, { values, survivors, parents }] of told.entries()) {
        if (values.length === 0) continue;
        compared++;
        expect(guesses[i]).toEqual([...values]);
        expect(parents).toHaveLength(values.length);
        for (const parent of parents) {
          if (before[i] === null) expect(parent).toBeNull();
          else expect(before[i]).toContain(parent);
        }
        expect(survivors.length).toBeGreaterThan(0);
        before[i] = survivors;
      }
    }
    expect(compared).toBeGreaterThan(2);
  },
);

test('the last to go on is the sample', async () => {
  const { steps, decoded } = await decode('svdd-pm', { candidates: 3, alpha: 0.1 });
  const last = steps.findLast(({ told }) => told[0]!.values.length > 0)!.told[0]!;
  if (steps.at(-1)!.told[0] === last) expect(last.guess(last.survivors[0]!)).toEqual(decoded.samples[0]);
  expect(gees(decoded.samples[0]!)).toBe(decoded.rewards[0]);
});

test('a tree is told with parents before children, and its best finished place is the sample', async () => {
  const { steps, decoded } = await decode('tree', { branch: 2, depth: 3, budget: 6 });
  for (const row of [0, 1]) {
    const places = decoded.tree!(row);
    expect(places[0]!.parent).toBeNull();
    for (const [at, { parent, step }] of places.entries()) {
      if (at === 0) continue;
      expect(parent).toBeLessThan(at);
      expect(places[parent!]!.step).toBeLessThan(step);
    }
    const leaves = places.filter(({ step }) => step === steps.at(-1)!.step.total);
    for (const leaf of leaves) expect(leaf.prior).toBeCloseTo(gees(leaf.guess()), 9);
    expect(Math.max(...leaves.map((leaf) => leaf.prior))).toBeCloseTo(decoded.rewards[row]!, 9);
    expect(Math.max(...leaves.map((leaf) => leaf.visits))).toBeGreaterThan(0);
  }
});
