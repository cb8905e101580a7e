import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bundledModelsFolder } from '#pipelines/cli/bundled.ts';
import { activityOf } from '#pipelines/recipes/enhancer-dna/activity.ts';
import { drawEnhancer } from '#pipelines/recipes/enhancer-dna/enhancers.ts';
import { pearson } from '#pipelines/recipes/enhancer-dna/statistics.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { reverseComplement } from '#pipelines/sequences/nucleotides.ts';

const file = (oracle: string, name: string) => join(bundledModelsFolder, oracle, name);

/** Enhancers of a seed that no oracle was trained on. */
const sequences = Array.from({ length: 160 }, (_, i) => drawEnhancer(20260101, i).sequence);
const exact = sequences.map((s) => activityOf(s).HepG2);
const scores = async (oracle: string, of: readonly string[]) => {
  const reward = await createReward(`onnx:${file(oracle, 'model.onnx')}`);
  try {
    expect(reward.higherIsBetter).toBe(true);
    return await reward.score(of.map((sequence) => ({ kind: 'sequence', sequence })));
  } finally {
    await reward.close();
  }
};

test('the bundled oracles know the exact activity in HepG2 of new sequences as well as their cards say, on either strand', async () => {
  const said: Float32Array[] = [];
  for (const half of ['a', 'b']) {
    const oracle = `enhancer-oracle-${half}`;
    const found = await scores(oracle, sequences);
    const card = JSON.parse(readFileSync(file(oracle, 'evaluation.json'), 'utf8'));
    expect(card.cells[0].cell).toBe('HepG2');
    // Of 160 sequences a correlation of 0.955 has a standard error of 0.007.
    expect(Math.abs(pearson(found, exact) - card.cells[0].pearson)).toBeLessThan(0.03);
    const turned = await scores(oracle, sequences.slice(0, 8).map(reverseComplement));
    for (const [i, score] of turned.entries()) expect(score).toBeCloseTo(found[i]!, 4);
    said.push(found);
  }
  // Trained on other halves: they err apart, or the second could not judge what was optimised by the first.
  const errors = said.map((found) => found.map((v, i) => v - exact[i]!));
  expect(pearson(errors[0]!, errors[1]!)).toBeLessThan(0.6);
});

test.each(['a', 'b'])('the card of oracle %s says that its world is made up and what it is for', (half) => {
  const card = readFileSync(file(`enhancer-oracle-${half}`, 'README.md'), 'utf8');
  expect(card).toMatch(/This is not biology/);
  expect(card).toMatch(/must not be used to design any/);
  expect(card).toMatch(half === 'a' ? /the one to optimise/ : /only for evaluation/);
});
