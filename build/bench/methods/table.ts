import { effectiveSampleSize } from '#pipelines/decoding/weights.ts';
import { diversity } from '#pipelines/recipes/enhancer-dna/metrics.ts';
import { medianOf, quantileOf } from '#pipelines/recipes/enhancer-dna/statistics.ts';
import { METHODS } from './list.ts';
import type { Part, SampleRecord } from './records.ts';
import type { Subject } from './subjects.ts';

/** One row of the table; numbers over all seeds together. */
export interface Row {
  readonly method: string;
  readonly count: number;
  readonly seeds: number;
  readonly median: number;
  /** Standard deviation over seeds of their medians; NaN for one seed. */
  readonly medianSpread: number;
  readonly topDecile: number;
  readonly mean: number;
  readonly heldOut: number;
  readonly exact: number | null;
  readonly logLikelihood: number;
  readonly diversity: number;
  /** Each per sample. */
  readonly calls: Part['calls'];
  readonly seconds: number;
  /** Effective samples as a share of all, mean over seeds; null where there are no weights. */
  readonly effective: number | null;
}

/** A row per method of one subject, in the order of {@link METHODS}. */
export function rowsOf(subject: Subject, parts: readonly Part[]): Row[] {
  return METHODS.flatMap(({ name }) => {
    const own = parts.filter((p) => p.subject === subject.name && p.method === name);
    return own.length === 0 ? [] : [rowOf(subject, name, own)];
  });
}

function rowOf(subject: Subject, method: string, parts: readonly Part[]): Row {
  // Parts of different sizes may overlap: a sample is its seed and index, and counts once.
  const bySeed = [...Map.groupBy(parts, (p) => p.seed).values()].map((own) => [
    ...new Map(own.flatMap((p) => p.samples).map((s) => [s.index, s])).values(),
  ]);
  const samples = bySeed.flat();
  const made = parts.reduce((n, p) => n + p.samples.length, 0);
  const each = (of: (p: Part) => number) => parts.reduce((sum, p) => sum + of(p), 0) / made;
  const mean = (of: (s: SampleRecord) => number) => samples.reduce((sum, s) => sum + of(s), 0) / samples.length;
  const medians = bySeed.map((own) => medianOf(own.map((s) => s.reward)));
  const weights = bySeed.map((own) => own.map((s) => s.logWeight));
  return {
    method,
    count: samples.length,
    seeds: bySeed.length,
    median: medianOf(samples.map((s) => s.reward)),
    medianSpread: deviation(medians),
    topDecile: quantileOf(
      samples.map((s) => s.reward),
      0.9,
    ),
    mean: mean((s) => s.reward),
    heldOut: mean((s) => s.heldOut),
    exact: samples.every((s) => s.exact !== null) ? mean((s) => s.exact!) : null,
    logLikelihood: mean((s) => s.logLikelihood),
    diversity: subject.kind === 'sequence' ? diversity(samples.map((s) => s.look)) : pictureDiversity(samples),
    calls: {
      denoiser: each((p) => p.calls.denoiser),
      reward: each((p) => p.calls.reward),
      value: each((p) => p.calls.value),
      gradient: each((p) => p.calls.gradient),
    },
    seconds: each((p) => p.seconds.sampling),
    effective: weights.flat().every((w) => w !== null)
      ? weights.reduce((sum, w) => sum + effectiveSampleSize(w as number[]) / w.length, 0) / weights.length
      : null,
  };
}

function deviation(values: readonly number[]): number {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1));
}

/** Mean over groups of the mean distance of two small pictures, root mean square of colours of 0 … 1. */
function pictureDiversity(samples: readonly SampleRecord[]): number {
  const distances = [...Map.groupBy(samples, (s) => s.group).values()].flatMap((group) => {
    const looks = group.map((s) => Buffer.from(s.look, 'base64'));
    let [sum, pairs] = [0, 0];
    for (let a = 0; a < looks.length; a++) {
      for (let b = 0; b < a; b++) {
        let squares = 0;
        for (let k = 0; k < looks[a]!.length; k++) squares += ((looks[a]![k]! - looks[b]![k]!) / 255) ** 2;
        sum += Math.sqrt(squares / looks[a]!.length);
        pairs++;
      }
    }
    return pairs === 0 ? [] : [sum / pairs];
  });
  return distances.reduce((a, b) => a + b, 0) / distances.length;
}

/** The table of one subject in Markdown, with how it compares with what was published. */
export function tableOf(subject: Subject, rows: readonly Row[], budget: number): string {
  const exact = rows.some((r) => r.exact !== null);
  const number = (v: number, digits = 3) => (Number.isFinite(v) ? v.toFixed(digits) : '–');
  const columns: readonly (readonly [string, (r: Row) => string])[] = [
    ['method', (r) => r.method],
    ['samples', (r) => `${r.count} (${r.seeds})`],
    ['median', (r) => `${number(r.median)} ± ${number(r.medianSpread)}`],
    ['top decile', (r) => number(r.topDecile)],
    ['mean', (r) => number(r.mean)],
    ['held-out reward', (r) => number(r.heldOut)],
    ...(exact ? ([['exact', (r: Row) => number(r.exact ?? Number.NaN)]] as const) : []),
    ['log-likelihood', (r) => number(r.logLikelihood)],
    ['diversity', (r) => number(r.diversity)],
    ['ESS', (r) => (r.effective === null ? '–' : `${number(100 * r.effective, 1)} %`)],
    ['denoiser', (r) => number(r.calls.denoiser, 1)],
    ['reward', (r) => number(r.calls.reward, 1)],
    ['value', (r) => number(r.calls.value, 1)],
    ['gradient', (r) => number(r.calls.gradient, 1)],
    ['s', (r) => number(r.seconds, 2)],
  ];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    `### ${subject.name}`,
    '',
    `${subject.about} α = ${subject.alpha}; budget: ${budget} times the denoiser calls of plain sampling.`,
    '',
    line(columns.map(([title]) => title)),
    line(columns.map((_, i) => (i === 0 ? '---' : '---:'))),
    ...rows.map((r) => line(columns.map(([, of]) => of(r)))),
    '',
    orderOf(subject, rows),
  ].join('\n');
}

/** By which rule the numbers of all tables were made, in Markdown. */
export function legend(budget: number): string {
  return [
    `At equal denoiser calls: every method but plain sampling spends about ${budget} times the denoiser calls of plain sampling on each sample.`,
    'In brackets, of how many seeds; ± is the standard deviation of the median over seeds. Held-out reward, exact and',
    'log-likelihood are means. ESS: effective samples by importance weights, of all that were drawn. Calls and seconds are per sample kept.',
    '',
    ...METHODS.map(({ name, spends }) => `- **${name}**: ${spends}.`),
  ].join('\n');
}

/** Medians from worst to best, means where they are equal, beside those of the paper. */
function orderOf({ published }: Subject, rows: readonly Row[]): string {
  const found = rows.toSorted((a, b) => a.median - b.median || a.mean - b.mean).map((r) => r.method);
  const own = `Order of medians: ${found.join(' < ')}.`;
  if (published === null) return `${own} Nothing like it is in the paper's table.`;
  const known = METHODS.flatMap(({ name, published: column }) => {
    const row = rows.find((r) => r.method === name);
    return row === undefined || column === null ? [] : [{ name, here: row.median, there: published.medians[column]! }];
  });
  const there = known.toSorted((a, b) => a.there - b.there).map(({ name, there: v }) => `${name} (${v})`);
  const pairs = known.flatMap((a, i) =>
    known.slice(0, i).map((b) => Math.sign(a.here - b.here) === Math.sign(a.there - b.there)),
  );
  return [
    own,
    `Li et al. 2024 (arXiv:2408.08252, table 1, median of "${published.task}", their models): ${there.join(' < ')}.`,
    `Of ${pairs.length} pairs of methods in both, ${pairs.filter(Boolean).length} stand in the same order.`,
  ].join(' ');
}
