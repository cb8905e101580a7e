import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256File } from '#models/files.ts';
import { readModel } from '#models/onnx/read.ts';
import { writeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { readSafetensors } from '#models/tensor/safetensors.ts';
import { findLoraTargets } from '#models/training/lora.ts';
import { writeLoraFile } from '#models/training/lora-file.ts';
import { main } from '#pipelines/cli/main.ts';
import { parseFasta } from '#pipelines/sequences/sequence-files.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { TOY_A, writeToySequenceModel } from '#test/support/masked-toy.ts';
import { writeTinyMaskedModel, writeTinyOneHotModel } from '#test/support/tiny-sequence-model.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-sample-sequences-'));
const at = (...parts: string[]) => join(root, ...parts);
afterAll(() => rmSync(root, { recursive: true }));
beforeAll(() => {
  writeTinyMaskedModel(at('dna'), { length: 90 });
  writeToySequenceModel(at('toy'), { laws: [TOY_A] });
  writeTinyOneHotModel(at('onehot'), [
    [0, 1, 2, 3],
    [3, 3, 3, 3],
  ]);
});

const fastaOf = (out: string) => parseFasta(readFileSync(join(out, 'samples.fasta'), 'utf8'), out);
const sample = async (model: string, out: string, ...rest: string[]) => {
  const run = await runCli('sample', '--model', at(model), '--out', at(out), '--json', ...rest);
  expect(run.err).toBe('');
  expect(run.code).toBe(0);
  return run.result();
};

describe('sample of a model of sequences', () => {
  test('writes FASTA, a manifest and the ids, and says what it cost', async () => {
    const args = ['--count', '3', '--class', 'K562', '--steps', '8', '--save-tensors', '--seed', '5'];
    const result = await sample('dna', 'out', ...args);
    expect(result).toMatchObject({ type: 'result', count: 3, rewardCalls: 0 });
    expect(result.denoiserCalls).toBeGreaterThan(0);
    expect(result.denoiserCalls).toBeLessThanOrEqual(3 * 9);
    const records = fastaOf(at('out'));
    expect(records.map((r) => r.id)).toEqual(['0000', '0001', '0002']);
    expect(records.every((r) => /^[ACGT]{90}$/.test(r.sequence))).toBe(true);
    const text = readFileSync(at('out', 'samples.fasta'), 'utf8').split('\n');
    expect(text[0]).toBe('>0000 seed=5 index=0 class=K562');
    expect(text[1]!.length).toBe(70);
    const { samples } = Object.fromEntries(readSafetensors(at('out', 'samples.safetensors')).tensors);
    expect(samples).toMatchObject({ dtype: 'int64', dims: [3, 90] });
    const letters = Array.from(samples!.data as BigInt64Array, (id) => 'ACGT'[Number(id)]).join('');
    expect(letters).toBe(records.map((r) => r.sequence).join(''));
    expect(JSON.parse(readFileSync(at('out', 'manifest.json'), 'utf8'))).toMatchObject({
      model: { name: 'dna', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      settings: { scheduler: 'masked', steps: 8, seed: 5, class: 'K562', guidanceScale: 1 },
      sequences: records.map((r, index) => ({ ...r, index })),
    });
  });

  test('gives the same bytes at any batch and not for another seed', async () => {
    const args = ['--count', '8', '--class', 'HepG2', '--guidance', '2', '--scheduler', 'masked', '--save-tensors'];
    await sample('dna', 'b1', ...args, '--batch', '1');
    for (const batch of ['3', '8']) {
      await sample('dna', `b${batch}`, ...args, '--batch', batch);
      for (const file of ['samples.fasta', 'samples.safetensors', 'manifest.json']) {
        expect(readFileSync(at(`b${batch}`, file)).equals(readFileSync(at('b1', file)))).toBe(true);
      }
    }
    await sample('dna', 'other', ...args, '--seed', '1');
    expect(fastaOf(at('other'))).not.toEqual(fastaOf(at('b1')));
  });

  test('one at a time calls the network once per position', async () => {
    const result = await sample('toy', 'one', '--count', '4', '--scheduler', 'masked-one-at-a-time');
    expect(result.denoiserCalls).toBe(8);
  });

  test('with a reward writes one score per sequence, the same as score gives', async () => {
    const b = createBuilder();
    const x = b.input('x', 'float32', [1, 90, 4]);
    const gc = b.f32([1, 1, 4], [0, 1, 1, 0]);
    b.output(b.mulScalar(b.reduceSum(b.mul(x, gc), [1, 2], false), 1 / 90), 'score');
    writeModel(
      b.toModel('gc', (v) => ['B', ...v.dims.slice(1)]),
      at('gc.onnx'),
    );
    const reward = `onnx:${at('gc.onnx')}`;
    const result = await sample('dna', 'scored', '--count', '3', '--reward', reward, '--save-tensors');
    const gcOf = ({ sequence }: { sequence: string }) => sequence.replaceAll(/[AT]/g, '').length / 90;
    const expected = fastaOf(at('scored')).map(gcOf);
    const { values, mean } = result.rewards as { values: number[]; mean: number };
    expect(result.rewardCalls).toBe(3);
    values.forEach((v, i) => {
      expect(v).toBeCloseTo(expected[i]!, 6);
    });
    expect(mean).toBeCloseTo(expected.reduce((a, b) => a + b, 0) / 3, 6);
    expect(readSafetensors(at('scored', 'samples.safetensors')).tensors.get('rewards')).toMatchObject({
      dtype: 'float32',
      dims: [3],
    });
    const again = await runCli('score', '--reward', reward, '--json', at('scored', 'samples.fasta'));
    const items = again.result().items as { scores: Record<string, number> }[];
    expect(items.map((item) => item.scores[reward])).toEqual(values);
  });

  test('with an adapter makes others, and with its weight at 0 the same', async () => {
    const model = readModel(at('dna', 'denoiser', 'model.onnx'));
    const targets = findLoraTargets(model, 'all');
    expect(targets.map((t) => t.module)).toContain('head');
    const config = { rank: 2, alpha: 2, targets: 'all' as const };
    writeLoraFile(at('adapter.safetensors'), { targets, config, parameters: randomLora(targets, config, 1) });
    const args = ['--count', '2', '--class', 'K562'];
    await sample('dna', 'plain', ...args);
    await sample('dna', 'off', ...args, '--lora', `${at('adapter.safetensors')}:0`);
    await sample('dna', 'on', ...args, '--lora', at('adapter.safetensors'));
    expect(fastaOf(at('off'))).toEqual(fastaOf(at('plain')));
    expect(fastaOf(at('on'))).not.toEqual(fastaOf(at('plain')));
    const manifest = JSON.parse(readFileSync(at('on', 'manifest.json'), 'utf8')) as { adapters: object[] };
    expect(manifest.adapters).toEqual([{ weight: 1, sha256: sha256File(at('adapter.safetensors')) }]);
  });

  test('made by a one-hot model has the sequence of its class', async () => {
    await sample('onehot', 'hot', '--count', '2', '--class', 'cell 0', '--scheduler', 'ddim', '--steps', '3');
    expect(fastaOf(at('hot')).map((r) => r.sequence)).toEqual(['ACGT', 'ACGT']);
    expect(readFileSync(at('hot', 'samples.fasta'), 'utf8')).toContain('class=cell_0');
  });

  test.each([
    ['another class', ['--class', 'K526'], 'sampling/class', 'K562'],
    ['a sampler of pictures', ['--scheduler', 'ddim'], 'scheduler/unsupported', 'masked'],
    ['a prompt', ['--prompt', 'a tulip'], 'usage', '--class'],
    ['a picture size', ['--size', '8x8'], 'usage', ''],
    ['another length', ['--length', '3'], 'sampling/length', ''],
  ])('refuses %s', async (_, args, code, hint) => {
    const run = await runCli('sample', '--model', at('dna'), '--out', at('refused'), '--json', ...args);
    expect(run.code).not.toBe(0);
    const error = JSON.parse(run.err) as { code: string; hint: string };
    expect(error.code).toBe(code);
    expect(error.hint).toContain(hint);
  });

  test('that is stopped keeps the sequences that are finished', async () => {
    let stop = () => {};
    let out = '';
    let err = '';
    const code = await main(
      ['sample', '--model', at('dna'), '--out', at('stopped'), '--count', '900', '--batch', '2', '--json'],
      {
        out: (text) => {
          out += text;
          const line = JSON.parse(text) as { type: string; done: number };
          if (line.type === 'progress' && line.done >= 2) stop();
        },
        err: (text) => {
          err += text;
        },
        columns: () => 0,
        onInterrupt: (callback) => {
          stop = callback;
          return () => {};
        },
        exit: () => {
          throw new Error('hard exit');
        },
      },
    );
    expect(code).toBe(130);
    expect(err).toContain('makes them again');
    const { count } = JSON.parse(out.trimEnd().split('\n').at(-1)!) as { count: number };
    expect(count).toBeGreaterThanOrEqual(2);
    expect(count).toBeLessThan(900);
    await sample('dna', 'whole', '--count', String(count));
    expect(fastaOf(at('stopped'))).toEqual(fastaOf(at('whole')));
  });
});

test('a model folder that is neither says what it is', async () => {
  writeFileSync(at('toy', 'model_index.json'), '{"_class_name": "FluxPipeline"}');
  const run = await runCli('sample', '--model', at('toy'), '--out', at('neither'), '--json');
  expect(run.code).not.toBe(0);
  expect(run.err).toContain('FluxPipeline');
});
