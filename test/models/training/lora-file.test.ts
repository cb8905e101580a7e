import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readModel } from '#models/onnx/read.ts';
import { writeModel } from '#models/onnx/write.ts';
import { Rng } from '#models/tensor/rng.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, i64, type Tensor, toBytes } from '#models/tensor/tensor.ts';
import { findLoraTargets, insertLora, type LoraConfig } from '#models/training/lora.ts';
import { readLoraFile, writeLoraFile } from '#models/training/lora-file.ts';
import { verifyLora } from '#models/training/lora-verify.ts';
import {
  largestDifference,
  randomLora,
  randomTensor,
  runModel,
  smallNetwork,
  UNET,
  unetFeeds,
} from './lora-network.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-lora-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string) => join(folder, `${name}.safetensors`);
const code = (expected: string) => expect.objectContaining({ name: 'NorthlightError', code: expected });

const model = smallNetwork();
const config: LoraConfig = { rank: 2, alpha: 0.3, targets: 'all' };
const targets = findLoraTargets(model, config.targets);
const parameters = randomLora(targets, config, 3);

function written(name: string, change: (tensors: Map<string, Tensor>) => void = () => {}): string {
  writeLoraFile(file(name), { targets, config, parameters });
  const { tensors, metadata } = readSafetensors(file(name));
  change(tensors);
  writeSafetensors(file(name), tensors, metadata);
  return file(name);
}

/** The same adapter under other key names. */
function renamed(name: string, rename: (module: string, side: 'down' | 'up') => string, alpha = false): string {
  const tensors = new Map<string, Tensor>();
  for (const [key, t] of parameters) {
    const [, module, side] = /^(.*)\.lora_(down|up)\.weight$/.exec(key)!;
    tensors.set(rename(module!, side as 'down' | 'up'), t);
    if (alpha) tensors.set(`${rename(module!, 'down').replace('.lora_down.weight', '')}.alpha`, i64([], [4]));
  }
  writeSafetensors(file(name), tensors);
  return file(name);
}

describe('writing', () => {
  test('keys and metadata are those that other tools look for', () => {
    writeLoraFile(file('keys'), {
      targets,
      config,
      parameters,
      metadata: new Map([
        ['ss_base_model_version', 'sd_v1'],
        ['method', 'd3po'],
      ]),
    });
    const { tensors, metadata } = readSafetensors(file('keys'));
    const modules = ['down_0_conv', 'down_0_attn_proj_in', 'down_0_attn_to_q', 'down_0_attn_to_v', 'head'];
    const ends = ['alpha', 'lora_down.weight', 'lora_up.weight'];
    expect([...tensors.keys()].sort()).toEqual(modules.flatMap((m) => ends.map((e) => `lora_unet_${m}.${e}`)).sort());
    expect(tensors.get('lora_unet_down_0_attn_to_q.alpha')).toEqual(f32([], [0.3]));
    expect(tensors.get('lora_unet_down_0_conv.lora_down.weight')!.dims).toEqual([2, 3, 3, 3]);
    expect(tensors.get('lora_unet_down_0_conv.lora_up.weight')!.dims).toEqual([6, 2, 1, 1]);
    expect(tensors.get('lora_unet_down_0_attn_to_q.lora_down.weight')!.dims).toEqual([2, 4]);
    expect(Object.fromEntries(metadata)).toEqual({
      ss_base_model_version: 'sd_v1',
      ss_v2: 'False',
      ss_network_module: 'networks.lora',
      ss_network_dim: '2',
      ss_network_alpha: '0.3',
      ss_network_args: '{"conv_dim":"2","conv_alpha":"0.3"}',
      'northlight.targets': '"all"',
      'northlight.method': 'd3po',
    });
  });

  test('an adapter that is not a number anywhere is not written', () => {
    const broken = new Map(parameters).set('head.lora_up.weight', f32([5, 2], new Float32Array(10).fill(Number.NaN)));
    expect(() => writeLoraFile(file('nan'), { targets, config, parameters: broken })).toThrow(code('lora/not-finite'));
    expect(existsSync(file('nan'))).toBe(false);
  });

  test('modules that would share a key are refused', () => {
    const twins = [targets[4]!, { ...targets[4]!, module: 'a.b' }, { ...targets[4]!, module: 'a_b' }];
    expect(() =>
      writeLoraFile(file('twins'), { targets: twins, config, parameters: randomLora(twins, config, 1) }),
    ).toThrow(code('lora/key-collision'));
    expect(readdirSync(folder).filter((f) => f.startsWith('twins'))).toEqual([]);
  });
});

describe('reading', () => {
  test('an adapter comes back bit for bit, with its targets and its exact alpha', () => {
    const back = readLoraFile(written('round-trip'), model);
    expect(back.config).toEqual(config);
    expect(back.unmatched).toEqual([]);
    expect(
      [...back.targets]
        .sort((a, b) => targets.indexOf(a) - targets.indexOf(b))
        .map((t) => t.module)
        .sort(),
    ).toEqual(targets.map((t) => t.module).sort());
    expect([...back.parameters.keys()].sort()).toEqual([...parameters.keys()].sort());
    for (const [name, t] of parameters) {
      const read = back.parameters.get(name)!;
      expect([read.dtype, read.dims]).toEqual([t.dtype, t.dims]);
      expect(Buffer.compare(toBytes(read), toBytes(t))).toBe(0);
    }
  });

  test('the namings of PEFT and diffusers find the same modules; alpha is then the rank', () => {
    const ab = { down: 'A', up: 'B' };
    for (const path of [
      renamed('peft', (m, s) => `base_model.model.${m}.lora_${ab[s]}.weight`),
      renamed('peft-default', (m, s) => `base_model.model.${m}.lora_${ab[s]}.default.weight`),
      renamed('diffusers', (m, s) => `unet.${m}.lora_${ab[s]}.weight`),
      renamed('diffusers-old', (m, s) => `unet.${m}.lora.${s}.weight`),
    ]) {
      const back = readLoraFile(path, model);
      expect([back.config.rank, back.config.alpha, back.unmatched]).toEqual([2, 2, []]);
      expect(new Map([...back.parameters].sort())).toEqual(new Map([...parameters].sort()));
    }
  });

  test('an integer alpha, as one converter writes it, is read', () => {
    const path = renamed('integer', (m, s) => `lora_unet_${m.replaceAll('.', '_')}.lora_${s}.weight`, true);
    expect(readLoraFile(path, model).config).toMatchObject({ rank: 2, alpha: 4 });
  });

  test('a module with a rank of its own keeps it, and the effect is that of its own scale', async () => {
    const own = { ...config, modules: new Map([['down.0.conv', { rank: 3, alpha: 6 }]]) };
    const mixed = randomLora(targets, own, 8);
    writeLoraFile(file('mixed'), { targets, config: own, parameters: mixed });
    const back = readLoraFile(file('mixed'), model);
    expect(back.config).toEqual(own);
    const feeds = { x: randomTensor(new Rng(2), [1, 3, 8, 8]) };
    const live = await runModel(insertLora(model, targets, own, mixed), feeds);
    const read = await runModel(insertLora(model, back.targets, back.config, back.parameters), feeds);
    expect(largestDifference(live, read)).toBe(0);
  });

  test('a linear pair fits a 1×1 convolution of the same sizes', () => {
    const key = 'lora_unet_down_0_attn_proj_in.lora_down.weight';
    const path = written('flat', (tensors) => tensors.set(key, { ...tensors.get(key)!, dims: [2, 6] }));
    expect(readLoraFile(path, model).parameters.get('down.0.attn.proj_in.lora_down.weight')!.dims).toEqual([
      2, 6, 1, 1,
    ]);
  });

  test('names of another network and of no pair are listed, and the rest is read', () => {
    const other = 'lora_te_text_model_encoder_layers_0_self_attn_q_proj';
    const path = written('stray', (tensors) => {
      tensors.set(`${other}.lora_down.weight`, f32([1, 3], [1, 2, 3]));
      tensors.set(`${other}.lora_up.weight`, f32([4, 1], [1, 2, 3, 4]));
      tensors.set('note', f32([1], [1]));
    });
    const back = readLoraFile(path, model);
    expect([...back.unmatched].sort()).toEqual([other, 'note']);
    expect(back.targets).toHaveLength(targets.length);
  });

  test('wrong files are refused by name', () => {
    const q = 'lora_unet_down_0_attn_to_q';
    const refused = (name: string, change: (tensors: Map<string, Tensor>) => void, expected: string) =>
      expect(() => readLoraFile(written(name, change), model), name).toThrow(code(expected));
    refused('shape', (t) => t.set(`${q}.lora_down.weight`, f32([2, 5], new Float32Array(10))), 'lora/shape');
    refused('rank', (t) => t.set(`${q}.lora_up.weight`, f32([7, 3], new Float32Array(21))), 'lora/rank-mismatch');
    refused('half', (t) => t.delete(`${q}.lora_up.weight`), 'lora/incomplete');
    refused('dora', (t) => t.set(`${q}.dora_scale`, f32([1], [1])), 'lora/unsupported');
    refused(
      'twice',
      (t) => {
        for (const s of ['down', 'up']) t.set(`down.0.attn.to_q.lora_${s}.weight`, t.get(`${q}.lora_${s}.weight`)!);
      },
      'lora/key-collision',
    );
    refused(
      'none',
      (t) => {
        t.clear();
        t.set('head.weight', f32([1], [1]));
      },
      'lora/none',
    );
    expect(() => readLoraFile(written('other-model'), readModel(UNET))).toThrow(code('lora/no-match'));
  });
});

describe('verification', () => {
  test('a file written from a live adapter of an exported UNet has its effect and no difference', async () => {
    const unet = readModel(UNET);
    const attention: LoraConfig = { rank: 4, alpha: 4, targets: 'attention' };
    const chosen = findLoraTargets(unet, 'attention');
    const live = randomLora(chosen, attention, 6);
    writeLoraFile(file('unet'), { targets: chosen, config: attention, parameters: live });
    const check = { modelPath: UNET, model: unet, file: file('unet'), feeds: unetFeeds(), threads: 1 };

    const good = await verifyLora({ ...check, live });
    expect(good).toMatchObject({ difference: 0, matched: 30, unmatched: [] });
    expect(good.effect).toBeGreaterThan(0.01);
  });

  test('another adapter, a file that lost a module, and one that does nothing are told apart from a good one', async () => {
    const path = join(folder, 'small.onnx');
    writeModel(model, path);
    const feeds = { x: randomTensor(new Rng(2), [1, 3, 8, 8]) };
    const lost = written('lost', (tensors) => {
      for (const key of [...tensors.keys()]) if (key.includes('head')) tensors.delete(key);
    });
    const check = { modelPath: path, model, live: parameters, feeds, threads: 1 };
    const good = written('good');
    expect((await verifyLora({ ...check, file: good })).difference).toBe(0);
    expect((await verifyLora({ ...check, file: good, live: null })).difference).toBeLessThan(1e-5);
    const other = randomLora(targets, config, 4);
    expect((await verifyLora({ ...check, file: good, live: other })).difference).toBeGreaterThan(1e-3);
    const partial = await verifyLora({ ...check, file: lost });
    expect(partial.matched).toBe(targets.length - 1);
    expect(partial.difference).toBeGreaterThan(1e-3);
    const idle = written('idle', (tensors) => {
      for (const [key, t] of tensors) {
        if (key.endsWith('lora_up.weight')) tensors.set(key, f32(t.dims, new Float32Array(t.data.length)));
      }
    });
    expect((await verifyLora({ ...check, file: idle })).effect).toBeLessThan(1e-6);
  });
});
