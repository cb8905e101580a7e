import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import { drawEnhancer } from '#pipelines/recipes/enhancer-dna/enhancers.ts';
import {
  approximateLogLikelihood,
  diversity,
  motifCorrelation,
  motifCounts,
  wordCorrelation,
  wordCounts,
} from '#pipelines/recipes/enhancer-dna/metrics.ts';
import { type Cell, MOTIFS } from '#pipelines/recipes/enhancer-dna/motifs.ts';
import { pearson, quantileOf, spearman } from '#pipelines/recipes/enhancer-dna/statistics.ts';
import { NEVER } from '#pipelines/sampling/masked-kernel.ts';
import type { MaskedDenoiser } from '#pipelines/sampling/masked-loop.ts';
import { createMaskedSchedule, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { moveChance } from '#pipelines/schedulers/masked-config.ts';

const dna = fc.string({ unit: fc.constantFrom('A', 'C', 'G', 'T'), minLength: 12, maxLength: 12 });

describe('statistics', () => {
  // NumPy 2.4.6: quantile of x; corrcoef of x and y, and of their ranks with ties at the mean.
  test('are those of NumPy, ties included', () => {
    const x = [3, 1, 4, 1, 5, 9, 2, 6];
    const y = [2, 7, 1, 8, 2, 8, 1, 8];
    for (const [q, value] of [
      [0.5, 3.5],
      [0.9, 6.9],
      [0.999, 8.979],
    ] as const) {
      expect(quantileOf(x, q)).toBeCloseTo(value, 12);
    }
    expect(pearson(x, y)).toBeCloseTo(0.20965531907301216, 12);
    expect(spearman(x, y)).toBeCloseTo(0.19885368120992464, 12);
  });
});

describe('words and motifs', () => {
  test('are counted where they stand', () => {
    const counts = wordCounts(['ACGAC', 'TTT'], 3);
    const at = (word: string) => [...word].reduce((code, c) => code * 4 + 'ACGT'.indexOf(c), 0);
    for (const word of ['ACG', 'CGA', 'GAC', 'TTT']) expect(counts[at(word)]).toBe(1);
    expect(counts.reduce((a, b) => a + b, 0)).toBe(4);
    const ap1 = MOTIFS.findIndex((m) => m.name === 'AP-1');
    // TGASTCA is its own reverse complement: one place, not two.
    expect(motifCounts(['AAAATGAGTCAAAAA', 'CCCC'])[ap1]).toBe(1);
  });

  test('tell the cell line, and enhancers from random letters', () => {
    const draw = (seed: number, cell: Cell) =>
      Array.from({ length: 500 }, (_, i) => drawEnhancer(seed, i, cell).sequence);
    const [one, two, other] = [draw(1, 'K562'), draw(2, 'K562'), draw(3, 'HepG2')];
    const rng = new Rng(3);
    const even = Array.from({ length: 500 }, () => Array.from({ length: 200 }, () => 'ACGT'[rng.int(4)]).join(''));
    expect(wordCorrelation(one, two)).toBeGreaterThan(0.99);
    expect(wordCorrelation(one, even)).toBeLessThan(0.3);
    const same = motifCorrelation(one, two);
    expect(motifCorrelation(one, other)).toBeLessThan(same - 0.3);
    expect(motifCorrelation(one, even)).toBeLessThan(same - 0.3);
  });
});

prop.prop([fc.array(dna, { minLength: 2, maxLength: 8 })])('diversity is the mean over all pairs', (sequences) => {
  let [sum, pairs] = [0, 0];
  for (const [i, a] of sequences.entries()) {
    for (const b of sequences.slice(i + 1)) {
      sum += [...a].filter((letter, k) => letter !== b[k]).length / a.length;
      pairs++;
    }
  }
  expect(diversity(sequences)).toBeCloseTo(sum / pairs, 12);
});

describe('the approximate log-likelihood', () => {
  const config = parseMaskedSchedulerConfig({});
  const schedule = createMaskedSchedule(config, { name: 'masked', steps: 128, length: 40 });
  const p = [0.4, 0.3, 0.2, 0.1];
  // Independent letters: what is masked plays no part, so the exact log-likelihood is a sum.
  const denoiser: MaskedDenoiser<null> = {
    maskId: 4,
    timeConditioned: false,
    predict: (queries) =>
      Promise.resolve(
        queries.map(({ tokens }) =>
          Float64Array.from(
            [...tokens].flatMap((t) =>
              t === 4 ? [...p.map(Math.log), NEVER] : [0, 1, 2, 3, 4].map((k) => (k === t ? 0 : NEVER)),
            ),
          ),
        ),
      ),
  };

  test('of independent letters has the exact one as its mean over the noise', async () => {
    const rng = new Rng(1);
    const tokens = Int32Array.from({ length: 40 }, () => rng.int(4));
    const exact = tokens.reduce((sum, t) => sum + Math.log(p[t]!), 0);
    const draws: number[] = [];
    for (let i = 0; i < 80; i++) {
      const maskedAt = (time: number) => moveChance(config, time);
      draws.push(await approximateLogLikelihood(denoiser, schedule, tokens, null, maskedAt, rng.fork(i)));
    }
    const mean = draws.reduce((a, b) => a + b, 0) / draws.length;
    const error = Math.sqrt(draws.reduce((s, d) => s + (d - mean) ** 2, 0)) / draws.length;
    expect(error).toBeLessThan(2.5);
    // The last thousandth of the noise, which time 1 leaves out, is a position's share of 0.001.
    expect(Math.abs(mean - exact)).toBeLessThan(4 * error + 0.002 * Math.abs(exact));
  });
});
