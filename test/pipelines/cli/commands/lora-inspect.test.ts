import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-lora-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('names the naming, ranks, sizes and metadata of an adapter file', async () => {
  const file = join(folder, 'a.safetensors');
  const tensors = new Map([
    ['unet.q.lora_A.weight', f32([2, 3], [1, 2, 3, 4, 5, 6])],
    ['unet.q.lora_B.weight', f32([4, 2], [1, 2, 3, 4, 5, 6, 7, 8])],
  ]);
  writeSafetensors(file, tensors, new Map([['base', 'flora']]));
  const run = await runCli('lora', 'inspect', file, '--json');
  expect(run.result()).toMatchObject({
    naming: 'peft',
    ranks: [2],
    targets: [{ name: 'unet.q', rank: 2, inFeatures: 3, outFeatures: 4 }],
    parameters: 14,
    sizeBytes: 56,
    metadata: { base: 'flora' },
  });
  expect(run.code).toBe(0);
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
  expect([run.code, run.out]).toEqual([2, expect.stringContaining('q: one half of the pair is missing')]);
  const none = join(folder, 'none.safetensors');
  writeSafetensors(none, new Map([['w', f32([1], [1])]]));
  expect(await runCli('lora', 'inspect', none)).toMatchObject({
    code: 2,
    err: expect.stringContaining('no low-rank pair'),
  });
});
