import { expect, test } from 'vitest';
import { createSteering } from '#pipelines/decoding/index.ts';
import { createMaskedSchedule, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { finish } from './toys.ts';

const MASK = 4;
const LENGTH = 8;
const schedule = createMaskedSchedule(parseMaskedSchedulerConfig({}), { name: 'masked', steps: 5, length: LENGTH });
/** Even odds of four letters at every mask, whatever the condition. */
const denoiser = {
  maskId: MASK,
  timeConditioned: true,
  predict: async (queries: readonly { readonly tokens: Int32Array }[]) =>
    queries.map(({ tokens }) =>
      Float64Array.from({ length: tokens.length * 5 }, (_, i) => (i % 5 < 4 ? -Math.log(4) : -1e6)),
    ),
};
const gees = (tokens: ArrayLike<number>) => Array.from(tokens).filter((t) => t === 2).length;

interface Row {
  readonly condition: string;
  readonly start: Int32Array;
}

/** @param kept how many of the rows take part. */
async function samplesOf(rows: readonly Row[], options: object, kept = rows.length): Promise<Int32Array[]> {
  const steering = createSteering('svdd-pm', { candidates: 2, alpha: 0.2, ...options });
  const work = { denoiser, schedule, rows: rows.slice(0, kept).map((row, index) => ({ ...row, seed: 5, index })) };
  const { samples } = await finish(
    steering.masked(work, async (asked) => Float64Array.from(asked, (sample) => gees(sample))),
  );
  return samples as Int32Array[];
}

const masks = (given: Readonly<Record<number, number>> = {}) =>
  Int32Array.from({ length: LENGTH }, (_, i) => given[i] ?? MASK);
const rowsOf = (condition: string, count: number, start = masks()): Row[] =>
  Array.from({ length: count }, () => ({ condition, start }));

test.each(['categorical', 'argmax'])(
  'by %s, worse samples make way for better ones of their own condition, never for those of another',
  async (select) => {
    const own = rowsOf('promoter', 4);
    const among = await samplesOf([...own, ...rowsOf('enhancer', 6)], { select, replace: 0.5 });
    expect(among.slice(0, 4)).toEqual(await samplesOf(own, { select, replace: 0.5 }));
    // It does replace: left alone, they are others.
    expect(among.slice(0, 4)).not.toEqual(await samplesOf(own, { select }));
  },
);

test('letters that were given stay, whoever else is there and is better', async () => {
  const poor = rowsOf('promoter', 4, masks({ 0: 0, 1: 0, 2: 0, 3: 0 }));
  const rich = rowsOf('promoter', 4, masks({ 0: 2, 1: 2, 2: 2, 3: 2 }));
  const samples = await samplesOf([...poor, ...rich], { replace: 0.5 });
  for (const sample of samples.slice(0, 4)) expect([...sample.slice(0, 4)]).toEqual([0, 0, 0, 0]);
});
