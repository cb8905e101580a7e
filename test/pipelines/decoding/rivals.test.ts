import { expect, test } from 'vitest';
import { createSteering } from '#pipelines/decoding/index.ts';
import { type GuidedStep, guidedStepOf } from '#pipelines/sampling/guided-step.ts';
import type { Decoded, DecodingStep, DifferentiableReward } from '#pipelines/sampling/steering.ts';
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

/** The expected number of Gs, and by each probability what one more of it is worth. */
const expectedGees: DifferentiableReward = {
  values: async (samples) => Float64Array.from(samples, expected),
  async gradient(samples, _, values) {
    for (const [i, probabilities] of samples.entries()) if (values) values[i] = expected(probabilities);
    return samples.map((probabilities) => probabilities.map((__, k) => (k % 5 === 2 ? 1 : 0)));
  },
};
const expected = (probabilities: Float32Array) =>
  probabilities.filter((_, k) => k % 5 === 2).reduce((a, b) => a + b, 0);

async function decode(name: string, options: Record<string, unknown>) {
  const steering = createSteering(name, options);
  const n = steering.perSample;
  const rows = Array.from({ length: 2 * n }, (_, index) => ({
    condition: null,
    seed: 3,
    index,
    start: new Int32Array(LENGTH).fill(MASK),
  }));
  const score = async (samples: readonly ArrayLike<number>[]) => Float64Array.from(samples, gees);
  const run = steering.masked({ denoiser, schedule, rows }, score, { slope: expectedGees });
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
  ['best-of-n', { candidates: 3 }],
  ['gradient', { candidates: 3, alpha: 1 }],
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
        if (name !== 'gradient' && values[0] !== null) expect(guesses[i]).toEqual([...values]);
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

const endOf = ({ steps }: Awaited<ReturnType<typeof decode>>, i: number) => steps.at(-1)!.told[i]!;

test('best-of-n tells of all its samples at every step, and at the end what each is worth and which is kept', async () => {
  const n = 4;
  const done = await decode('best-of-n', { candidates: n });
  expect(done.steps).toHaveLength(schedule.steps.length);
  for (const { told } of done.steps.slice(0, -1)) {
    expect(told[1]).toMatchObject({ values: new Array(n).fill(null), survivors: [0, 1, 2, 3] });
  }
  for (const i of [0, 1]) {
    const { values, survivors, guess } = endOf(done, i);
    expect(survivors).toEqual([values.indexOf(Math.max(...(values as number[])))]);
    expect(guess(survivors[0]!)).toEqual(done.decoded.samples[i]);
    expect(values[survivors[0]!]).toBe(done.decoded.rewards[i]);
    expect(new Set(values).size).toBeGreaterThan(1);
  }
});

test('gradient guidance tells of each step the reward that its slope was taken at', async () => {
  const led = await decode('gradient', { alpha: 0.5 });
  const first = led.steps[0]!.told[0]!;
  // Even odds of four letters at six positions.
  expect(first.values).toEqual([1.5]);
  const values = led.steps.map(({ told }) => told[0]!.values[0]!);
  expect(values.every((value) => value !== null && value >= 0 && value <= LENGTH)).toBe(true);
  expect(values.at(-1)).toBe(led.decoded.rewards[0]);
  expect((await decode('gradient', { alpha: 0.5, strength: 0 })).steps[0]!.told[0]!.values).toEqual([null]);
});

test('each revision is told with the sample that it was to replace, and is accepted where that one is not kept', async () => {
  const rounds = 4;
  const { steps, decoded } = await decode('revise', { rounds, candidates: 3, from: 0.8, to: 0.4 });
  expect(steps.map(({ step }) => step.step)).toEqual(steps.map((_, k) => k + 1));
  expect(steps.at(-1)!.step.total).toBe(steps.length);
  let [accepted, kept] = [0, 0];
  for (const row of [0, 1]) {
    const ends = steps.filter(({ told }) => told[row]!.standing !== null);
    expect(ends).toHaveLength(rounds);
    // The sample of plain sampling, before it was revised.
    let now = steps[schedule.steps.length - 1]!.guesses[row]![0]!;
    for (const { told, guesses } of ends) {
      const { values, survivors, standing } = told[row]!;
      expect(guesses[row]).toEqual(values);
      expect(values[standing!]).toBe(now);
      expect(survivors).toHaveLength(1);
      const attempts = values.filter((_, place) => place !== standing) as number[];
      expect(attempts.length).toBeGreaterThan(0);
      if (survivors[0] === standing) kept++;
      else accepted++;
      now = values[survivors[0]!]!;
    }
    expect(now).toBe(decoded.rewards[row]);
    expect(ends.at(-1)!.told[row]!.guess(ends.at(-1)!.told[row]!.survivors[0]!)).toEqual(decoded.samples[row]);
    // A revision comes from what was accepted last: the way back from its end leads to the start of the round at least.
    const end = steps.indexOf(ends.at(-1)!);
    const parents = steps[end]!.told[row]!.parents.filter((_, place) => place !== ends.at(-1)!.told[row]!.standing);
    for (const parent of parents) expect(parent).not.toBeNull();
  }
  expect(accepted).toBeGreaterThan(0);
  expect(kept).toBeGreaterThan(0);
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
