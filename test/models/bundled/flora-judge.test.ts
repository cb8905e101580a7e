import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readModel } from '#models/onnx/read.ts';
import { Rng } from '#models/tensor/rng.ts';
import { caption } from '#pipelines/recipes/flora/captions.ts';
import { renderDataset } from '#pipelines/recipes/flora/dataset.ts';
import { columnsOf, LAYOUT } from '#pipelines/recipes/flora-judge/layout.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { bundledJudge, readAttributes } from '#pipelines/rewards/prompt-agreement.ts';
import type { ImageItem } from '#pipelines/rewards/types.ts';
import { picture } from '#test/pipelines/rewards/pictures.ts';

describe('the bundled judge', () => {
  const drawings = async (count: number): Promise<ImageItem[]> => {
    const data = await renderDataset({ count, seed: 977, split: 'held-out' });
    const plane = 64 * 64;
    return data.attributes.map((a, i) => {
      const at = i * 3 * plane;
      const colour = (x: number, y: number) =>
        [0, 1, 2].map((c) => data.pixels[at + c * plane + y * 64 + x]!) as [number, number, number];
      return { ...picture(64, 64, colour), prompt: caption(a, new Rng(i)) };
    });
  };

  test('agrees with drawings of combinations it never saw, and not with the prompts of others', async () => {
    const items = await drawings(120);
    const reward = await createReward('prompt-agreement');
    const mean = (scores: Float32Array) => scores.reduce((a, b) => a + b, 0) / scores.length;
    expect(mean(await reward.score(items))).toBeGreaterThan(0.97);
    // Chance agreement of unrelated flowers lies near the mean of 1/5, 1/7, 1/3, 1/3, 1/3, 1/2 and 1/5.
    const swapped = items.map((item, i) => ({ ...item, prompt: items[(i + 1) % items.length]!.prompt }));
    expect(mean(await reward.score(swapped))).toBeLessThan(0.4);
    await reward.close();
  });

  test('works from a copy elsewhere', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'judge-copy-'));
    copyFileSync(bundledJudge, join(folder, 'model.onnx'));
    copyFileSync(bundledJudge.replace('model.onnx', 'reward.json'), join(folder, 'reward.json'));
    const items = await drawings(4);
    const [here, there] = [
      await readAttributes(items),
      await readAttributes(items, { model: join(folder, 'model.onnx') }),
    ];
    expect(there).toEqual(here);
    rmSync(folder, { recursive: true });
  });

  test('has logits in the layout of the recipe', () => {
    const folder = 'models/bundled/flora-judge';
    const manifest = JSON.parse(readFileSync(join(folder, 'reward.json'), 'utf8'));
    expect(Object.entries(manifest.attributes)).toEqual(LAYOUT.map((a) => [a.name, a.values]));
    const { graph } = readModel(join(folder, 'model.onnx'));
    expect(graph.inputs.map((v) => [v.name, v.dims])).toEqual([['image', ['batch', 3, 64, 64]]]);
    expect(graph.outputs.map((v) => [v.name, v.dims])).toEqual([['logits', ['batch', columnsOf(LAYOUT)]]]);
  });
});
