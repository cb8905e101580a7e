import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-lora-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('names the format, base model, ranks, sizes, metadata and our own part of it', async () => {
  const file = join(folder, 'a.safetensors');
  const tensors = new Map([
    ['unet.mid_block.attn2.to_k.lora_A.weight', f32([2, 768], new Float32Array(1536))],
    ['unet.mid_block.attn2.to_k.lora_B.weight', f32([4, 2], [1, 2, 3, 4, 5, 6, 7, 8])],
  ]);
  const metadata = new Map([
    ['base', 'flora'],
    ['northlight.method', 'd3po'],
    ['lora_adapter_metadata', '{"unet.r":2,"unet.lora_alpha":6}'],
  ]);
  writeSafetensors(file, tensors, metadata);
  const run = await runCli('lora', 'inspect', file, '--json');
  const name = 'unet.mid_block.attn2.to_k';
  expect(run.result()).toMatchObject({
    format: 'diffusers',
    base: 'sd1',
    networks: ['denoiser'],
    ranks: [2],
    alphas: [6],
    types: ['float32'],
    targets: [{ name, module: 'mid_block.attn2.to_k', rank: 2, alpha: 6, inFeatures: 768, outFeatures: 4 }],
    parameters: 1544,
    sizeBytes: 6176,
    metadata: { base: 'flora' },
    northlight: { method: 'd3po' },
  });
  expect(run.code).toBe(0);
  expect((await runCli('lora', 'inspect', file)).out).toMatch(
    /^diffusers, .*Stable Diffusion 1 · rank 2 · alpha 6 · 1 modules/,
  );
});

test('an adapter of another kind is described and ends with exit code 2', async () => {
  const file = join(folder, 'dora.safetensors');
  const tensors = new Map([
    ['lora_unet_a.lora_down.weight', f32([1, 1], [1])],
    ['lora_unet_a.lora_up.weight', f32([1, 1], [1])],
    ['lora_unet_a.dora_scale', f32([1], [1])],
  ]);
  writeSafetensors(file, tensors);
  const run = await runCli('lora', 'inspect', file);
  expect([run.code, run.out]).toEqual([2, expect.stringContaining('not supported: DoRA (lora_unet_a.dora_scale)')]);
});

test('half an adapter is reported with exit code 2; a file without pairs is refused', async () => {
  const half = join(folder, 'half.safetensors');
  writeSafetensors(
    half,
    new Map([
      ['q.lora_A.weight', f32([1, 1], [1])],
      ['k.lora_A.weight', f32([1, 1], [1])],
      ['k.lora_B.weight', f32([1, 1], [1])],
    ]),
  );
  const run = await runCli('lora', 'inspect', half);
  expect([run.code, run.out]).toEqual([2, expect.stringContaining('q has only its down part')]);
  const none = join(folder, 'none.safetensors');
  writeSafetensors(none, new Map([['w', f32([1], [1])]]));
  expect(await runCli('lora', 'inspect', none)).toMatchObject({
    code: 2,
    err: expect.stringContaining('no low-rank pair'),
  });
});
