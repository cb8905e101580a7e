import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openModelFolder } from '#models/families/index.ts';
import { loadInitializer } from '#models/onnx/external.ts';
import { readModel } from '#models/onnx/read.ts';
import { Rng } from '#models/tensor/rng.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, toNumbers } from '#models/tensor/tensor.ts';
import { findLoraTargets, initLora } from '#models/training/lora.ts';
import { readLoraFile, writeLoraFile } from '#models/training/lora-file.ts';
import { firstDifference } from '#models/training/lora-formats/compare.ts';
import { readLora } from '#models/training/lora-formats/read.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-lora-commands-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...path: string[]) => join(folder, ...path);
const model = at('model');
const a = at('a.safetensors');
const b = at('b.safetensors');
const config = { rank: 2, alpha: 3, targets: 'attention' as const };

beforeAll(() => {
  writeTinyModel(model);
  const targets = findLoraTargets(openModelFolder(model).unet, 'attention');
  writeLoraFile(a, { targets, config, parameters: randomLora(targets, config, 1) });
  writeLoraFile(b, { targets, config, parameters: randomLora(targets, config, 2) });
});

describe('lora convert', () => {
  test('writes each format beside the adapter, the same deltas in it, and says what it wrote', async () => {
    for (const to of ['diffusers', 'peft', 'kohya']) {
      const run = await runCli('lora', 'convert', a, '--to', to, '--json');
      expect([run.code, run.err]).toEqual([0, '']);
      const { written, modules } = run.result() as { written: string[]; modules: number };
      expect(modules).toBe(readLora(a).modules.length);
      for (const path of written) expect(existsSync(path)).toBe(true);
      expect(
        firstDifference(readLora(a), readLora(at(to === 'peft' ? 'a-peft' : `a-${to}.safetensors`))),
      ).toBeUndefined();
    }
    expect(readdirSync(at('a-peft')).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    // There and back: the same file.
    await runCli('lora', 'convert', at('a-peft'), '--to', 'kohya', '--out', at('back.safetensors'));
    expect(Buffer.compare(readFileSync(at('back.safetensors')), readFileSync(a))).toBe(0);
  });

  test('--naming and --base decide names in kohya files', async () => {
    const key = 'unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q';
    const pair = new Map([
      [`${key}.lora_A.weight`, f32([1, 2], [1, 2])],
      [`${key}.lora_B.weight`, f32([2, 1], [1, 2])],
    ]);
    writeSafetensors(at('part.safetensors'), pair);
    const stem = async (...flags: string[]) => {
      await runCli(
        'lora',
        'convert',
        at('part.safetensors'),
        '--to',
        'kohya',
        '--out',
        at('named.safetensors'),
        ...flags,
      );
      return [...readSafetensors(at('named.safetensors')).tensors.keys()].find((k) => k.endsWith('.alpha'));
    };
    expect(await stem()).toBe('lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.alpha');
    expect(await stem('--base', 'sdxl')).toBe('lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.alpha');
    expect(await stem('--base', 'sdxl', '--naming', 'diffusers')).toBe(await stem());
  });

  test('refuses to write over the adapter, and formats it does not know', async () => {
    const before = readFileSync(a);
    for (const [flags, message] of [
      [['--to', 'kohya', '--out', a], /is the adapter itself/],
      [['--to', 'ckpt'], /--to/],
    ] as const) {
      const run = await runCli('lora', 'convert', a, ...flags);
      expect([run.code, run.out]).toEqual([2, '']);
      expect(run.err).toMatch(message);
    }
    expect(readFileSync(a)).toEqual(before);
  });
});

describe('lora merge', () => {
  test('writes a model folder with the sum of the adapters in its weights', async () => {
    const run = await runCli(
      'lora',
      'merge',
      '--model',
      model,
      '--adapter',
      `${a}:0.8`,
      '--adapter',
      `${b}:-0.5`,
      '--out',
      at('merged'),
      '--json',
    );
    expect([run.code, run.err]).toEqual([0, '']);
    const { unet } = openModelFolder(at('merged'));
    const bare = openModelFolder(model).unet;
    const n = new Set(findLoraTargets(bare, 'attention').map((t) => t.module)).size;
    expect(run.result()).toMatchObject({ networks: [{ network: 'unet', matched: [n, n] }] });
    const [target] = findLoraTargets(bare, 'attention') as [ReturnType<typeof findLoraTargets>[number]];
    const values = [unet, bare].map((m) => toNumbers(loadInitializer(m, target.weight))) as [number[], number[]];
    // The first element of the first weight, by hand.
    const expected = [a, b].reduce((sum, path, i) => {
      const { parameters } = readLoraFile(path, bare);
      const [down, up] = ['down', 'up'].map((h) => toNumbers(parameters.get(`${target.module}.lora_${h}.weight`)!)) as [
        number[],
        number[],
      ];
      const first = up[0]! * down[0]! + up[1]! * down[target.inFeatures]!;
      return sum + [0.8, -0.5][i]! * (3 / 2) * first;
    }, values[1][0]!);
    expect(values[0][0]).toBeCloseTo(expected, 5);
    // The bare model is as it was, and the new folder is a model.
    expect((await runCli('models', 'inspect', at('merged'))).code).toBe(0);
    expect(readModel(join(model, 'unet', 'model.onnx')).metadata.has('northlight.merged')).toBe(false);
  });

  test('refuses a folder that exists and an adapter of another model', async () => {
    const exists = await runCli('lora', 'merge', '--model', model, '--adapter', a, '--out', model);
    expect([exists.code, exists.err]).toEqual([2, expect.stringContaining('exists already')]);
    writeSafetensors(
      at('foreign.safetensors'),
      new Map([
        ['lora_unet_x.lora_down.weight', f32([1, 2], [1, 2])],
        ['lora_unet_x.lora_up.weight', f32([2, 1], [1, 2])],
      ]),
    );
    const foreign = await runCli(
      'lora',
      'merge',
      '--model',
      model,
      '--adapter',
      at('foreign.safetensors'),
      '--out',
      at('no'),
    );
    expect([foreign.code, foreign.err]).toEqual([2, expect.stringContaining('foreign.safetensors')]);
    expect(existsSync(at('no'))).toBe(false);
  });
});

test('lora verify proves an adapter of any format, and one that does nothing ends with exit code 2', async () => {
  await runCli('lora', 'convert', a, '--to', 'diffusers', '--out', at('d.safetensors'));
  const good = await runCli('lora', 'verify', at('d.safetensors'), '--model', model, '--json');
  const result = good.result() as { difference: number; effect: number; matched: number; unmatched: string[] };
  expect(good.code).toBe(0);
  expect(result.difference).toBeLessThan(1e-4 * result.effect);
  expect([result.matched, result.unmatched]).toEqual([readLora(a).modules.length, []]);
  const targets = findLoraTargets(openModelFolder(model).unet, 'attention');
  writeLoraFile(at('idle.safetensors'), { targets, config, parameters: initLora(targets, config, new Rng(1)) });
  const idle = await runCli('lora', 'verify', at('idle.safetensors'), '--model', model);
  expect([idle.code, idle.out]).toEqual([2, expect.stringContaining('changes nothing')]);
});
