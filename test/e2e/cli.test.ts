import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openModelFolder } from '#models/families/index.ts';
import { readModel } from '#models/onnx/read.ts';
import { writeModel } from '#models/onnx/write.ts';
import { Rng } from '#models/tensor/rng.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, toNumbers } from '#models/tensor/tensor.ts';
import { findLoraTargets } from '#models/training/lora.ts';
import { writeLoraFile } from '#models/training/lora-file.ts';
import { decodeImage } from '#pipelines/images/images.ts';
import { initialNoiseOf } from '#pipelines/sampling/loop.ts';
import { randomLora } from '#test/models/training/lora-network.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

/** The command line as a person or a script meets it: a process of its own, files in, files out, exit codes. */

// Every line starts processes, which a busy machine does slowly.
vi.setConfig({ testTimeout: 300_000 });

const folder = mkdtempSync(join(tmpdir(), 'northlight-cli-'));
const at = (...parts: string[]) => join(folder, ...parts);
const model = at('tiny');
const CNN = resolve('test/golden/gradients/cnn');
const cnnModel = join(CNN, 'cnn-opset13-static.onnx');

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function northlight(...args: string[]): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['pipelines/cli/main.ts', ...args], {
    encoding: 'utf8',
  });
  return { code: status, out: stdout, err: stderr };
}

const last = ({ out }: Ended) => JSON.parse(out.trimEnd().split('\n').at(-1)!) as Record<string, unknown>;

/** Files of a folder and everything below it, by path. */
function bytesOf(root: string): Map<string, string> {
  const names = readdirSync(root, { recursive: true, withFileTypes: true }).filter((e) => e.isFile());
  return new Map(
    names
      .map((e) => join(e.parentPath, e.name))
      .sort()
      .map((p) => [p.slice(root.length), readFileSync(p).toString('base64')]),
  );
}

/** Bad input: exit code 2, one line for a person on standard error, nothing else, no stack. */
function expectRefused(ended: Ended, text: RegExp): void {
  expect(ended.err).toMatch(text);
  expect(ended.err).toMatch(/^northlight: .+\n$/);
  expect(ended.err).not.toMatch(/\bat .*:\d+:\d+|Error:/);
  expect(ended.out).toBe('');
  expect(ended.code).toBe(2);
}

beforeAll(() => {
  writeTinyModel(model);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('asking', () => {
  test('--help lists every command in one screen, and a command tells its flags', () => {
    const help = northlight('--help');
    expect(help.code).toBe(0);
    for (const name of ['sample', 'score', 'tune', 'serve', 'models list', 'lora inspect', 'graph grad', 'doctor']) {
      expect(help.out).toContain(name);
    }
    const sample = northlight('sample', '--help');
    expect(sample.out).toContain('--guidance');
    expect([sample.code, sample.err]).toEqual([0, '']);
  });

  test('a misspelt flag or command gets the nearest one as an answer', () => {
    expectRefused(northlight('sample', '--model', model, '--out', at('never'), '--guidence', '3'), /--guidance/);
    expectRefused(northlight('smaple'), /sample/);
    expect(existsSync(at('never'))).toBe(false);
  });

  test('models list and inspect tell the models as JSON', () => {
    const list = northlight('models', 'list', '--json');
    expect(list.code).toBe(0);
    expect(JSON.stringify(last(list))).toContain('flora');
    const inspect = northlight('models', 'inspect', model, '--json');
    expect(last(inspect)).toMatchObject({
      type: 'result',
      usable: true,
      width: 8,
      height: 8,
      predictionType: 'v_prediction',
      problems: [],
    });
    const broken = northlight('models', 'inspect', folder);
    expect(broken.code).toBe(2);
    expect(broken.out + broken.err).toMatch(/holds a model folder but is none itself: tiny/);
  });
});

describe('sample', () => {
  const common = [
    'sample',
    '--model',
    model,
    '--prompt',
    'a red tulip',
    '--prompt',
    'a white lily',
    '--count',
    '3',
    '--steps',
    '4',
    '--seed',
    '7',
    '--json',
  ];

  test('writes the same bytes each time, whatever the batch', () => {
    for (const [name, more] of [
      ['a', []],
      ['b', []],
      ['c', ['--batch', '1']],
    ] as const) {
      const run = northlight(...common, '--out', at('sample', name), '--save-tensors', '--keep-trajectories', ...more);
      expect([run.code, run.err]).toEqual([0, '']);
      expect(last(run)).toMatchObject({ count: 3 });
    }
    const files = bytesOf(at('sample', 'a'));
    expect([...files.keys()]).toEqual([
      '/0000.png',
      '/0001.png',
      '/0002.png',
      '/manifest.json',
      '/samples.safetensors',
      '/trajectories/0000.safetensors',
      '/trajectories/0001.safetensors',
      '/trajectories/0002.safetensors',
    ]);
    expect(bytesOf(at('sample', 'b'))).toEqual(files);
    expect(bytesOf(at('sample', 'c'))).toEqual(files);
  });

  test('--save-tensors holds the pictures before rounding', async () => {
    const { tensors } = readSafetensors(at('sample', 'a', 'samples.safetensors'));
    const samples = tensors.get('samples')!;
    expect(samples.dims).toEqual([3, 3, 8, 8]);
    const { data } = await decodeImage(at('sample', 'a', '0001.png'));
    const values = toNumbers(samples).slice(192, 384);
    for (let i = 0; i < 64; i++) {
      for (let c = 0; c < 3; c++) {
        const level = Math.min(255, Math.max(0, ((values[c * 64 + i]! + 1) / 2) * 255));
        expect(Math.abs(level - data[i * 3 + c]!)).toBeLessThanOrEqual(0.51);
      }
    }
  });

  test('--init with the noise of the seed gives the pictures of the seed', () => {
    const noise = new Float32Array(3 * 192);
    for (let i = 0; i < 3; i++) noise.set(initialNoiseOf({ seed: 7, noiseIndex: i }, 192), i * 192);
    writeSafetensors(at('init.safetensors'), new Map([['latents', f32([3, 3, 8, 8], noise)]]));
    const own = northlight(...common, '--out', at('sample', 'own'), '--save-tensors');
    const given = northlight(
      ...common,
      '--out',
      at('sample', 'given'),
      '--save-tensors',
      '--init',
      at('init.safetensors'),
    );
    expect([own.code, given.code]).toEqual([0, 0]);
    const samples = (name: string) => readSafetensors(at('sample', name, 'samples.safetensors')).tensors.get('samples');
    expect(samples('given')).toEqual(samples('own'));
  });

  test('--init of another shape, or of a file without latents, is refused', () => {
    writeSafetensors(at('short.safetensors'), new Map([['latents', f32([1, 3, 8, 8], new Float32Array(192))]]));
    expectRefused(
      northlight(...common.slice(0, -1), '--out', at('sample', 'short'), '--init', at('short.safetensors')),
      /\[3, 3, 8, 8\]/,
    );
  });

  test('--reward scores what was made, as score does afterwards', () => {
    const run = northlight(...common, '--out', at('sample', 'scored'), '--reward', 'brightness');
    const own = (last(run).rewards as { values: number[] }).values;
    const score = northlight('score', at('sample', 'a'), at('sample', 'scored'), '--reward', 'brightness', '--json');
    expect(score.code).toBe(0);
    const items = last(score).items as { path: string; scores: { brightness: number } }[];
    expect(items).toHaveLength(6);
    items.slice(3).forEach(({ scores }, i) => {
      expect(scores.brightness).toBeCloseTo(own[i]!, 6);
    });
  });
});

describe('graphs', () => {
  test('inspect counts what is in a file', () => {
    const run = northlight('graph', 'inspect', cnnModel, '--json');
    expect(run.code).toBe(0);
    expect(last(run)).toMatchObject({ type: 'result', missing: [] });
  });

  test('grad gives the gradients of the reference', () => {
    const reference = readSafetensors(join(CNN, 'gradients.safetensors')).tensors;
    const wanted = [...reference.keys()].filter(
      (name) =>
        readModel(cnnModel).graph.initializers.has(name) ||
        readModel(cnnModel).graph.inputs.some((i) => i.name === name),
    );
    expect(wanted.length).toBeGreaterThan(3);
    const run = northlight(
      'graph',
      'grad',
      cnnModel,
      '--inputs',
      join(CNN, 'inputs.safetensors'),
      '--cotangents',
      join(CNN, 'cotangents.safetensors'),
      '--wrt',
      wanted.join(','),
      '--out',
      at('grad.safetensors'),
      '--json',
    );
    expect([run.code, run.err]).toEqual([0, '']);
    const { tensors } = readSafetensors(at('grad.safetensors'));
    for (const name of wanted) {
      const [ours, theirs] = [toNumbers(tensors.get(name)!), toNumbers(reference.get(name)!)];
      expect(tensors.get(name)!.dims).toEqual(reference.get(name)!.dims);
      const size = Math.max(...theirs.map(Math.abs), 1e-6);
      for (const [i, v] of theirs.entries()) expect(Math.abs(ours[i]! - v)).toBeLessThan(2e-4 * size);
    }
  });
});

test('lora inspect tells naming, ranks and targets', () => {
  const targets = findLoraTargets(openModelFolder(model).unet, 'attention');
  const config = { rank: 3, alpha: 3, targets: 'attention' as const };
  writeLoraFile(at('lora.safetensors'), {
    targets,
    config,
    parameters: randomLora(targets, config, 1),
    metadata: new Map([['method', 'd3po']]),
  });
  const run = northlight('lora', 'inspect', at('lora.safetensors'), '--json');
  expect(run.code).toBe(0);
  const result = last(run);
  expect(result).toMatchObject({ ranks: [3], incomplete: [], unknown: [] });
  expect(result.targets).toHaveLength(new Set(targets.map((t) => t.module)).size);
  expect(result.metadata).toMatchObject({ 'northlight.method': 'd3po' });
});

describe('bad input ends with exit code 2, one line that says what and where, and nothing written', () => {
  const out = at('never');
  const grad = (path: string) =>
    northlight(
      'graph',
      'grad',
      path,
      '--inputs',
      join(CNN, 'inputs.safetensors'),
      '--cotangents',
      join(CNN, 'cotangents.safetensors'),
      '--wrt',
      'all',
      '--out',
      at('never.safetensors'),
    );
  const nothingWritten = () => {
    expect(existsSync(out)).toBe(false);
    expect(existsSync(at('never.safetensors'))).toBe(false);
    expect(readdirSync(folder).filter((name) => /never|tmp/.test(name))).toEqual([]);
  };

  test('an ONNX file that is cut short', () => {
    for (const share of [0.1, 0.5, 0.99]) {
      const bytes = readFileSync(cnnModel);
      writeFileSync(at('cut.onnx'), bytes.subarray(0, Math.floor(bytes.length * share)));
      expectRefused(northlight('graph', 'inspect', at('cut.onnx')), /cut\.onnx/);
      expectRefused(grad(at('cut.onnx')), /cut\.onnx/);
    }
    nothingWritten();
  });

  test('a file that is no ONNX', () => {
    writeFileSync(at('text.onnx'), 'This is a text, and a rather long one, about flowers.\n'.repeat(20));
    expectRefused(northlight('graph', 'inspect', at('text.onnx')), /text\.onnx/);
    expectRefused(northlight('graph', 'inspect', at('nowhere.onnx')), /nowhere\.onnx/);
    mkdirSync(at('folder.onnx'));
    expectRefused(northlight('graph', 'inspect', at('folder.onnx')), /folder\.onnx/);
  });

  test('external data that is not there', () => {
    mkdirSync(at('external'));
    writeModel(readModel(cnnModel), at('external', 'net.onnx'), { external: { location: 'net.data', minBytes: 16 } });
    rmSync(at('external', 'net.data'));
    expectRefused(grad(at('external', 'net.onnx')), /net\.data/);
    nothingWritten();
  });

  test('a safetensors file with a bad header', () => {
    const header = (text: string) => {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
      return Buffer.concat([length, Buffer.from(text)]);
    };
    for (const bytes of [
      Buffer.from('abc'),
      Buffer.alloc(8, 0xff),
      header('{"a":'),
      header('{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
      header('{"a":{"dtype":"F99","shape":[],"data_offsets":[0,0]}}'),
    ]) {
      writeFileSync(at('bad.safetensors'), bytes);
      expectRefused(northlight('lora', 'inspect', at('bad.safetensors')), /bad\.safetensors/);
    }
    expectRefused(
      northlight('sample', '--model', model, '--out', out, '--lora', at('bad.safetensors')),
      /bad\.safetensors/,
    );
    nothingWritten();
  });

  test('a model folder that lacks a part, and an adapter of another model', () => {
    expectRefused(northlight('sample', '--model', at('nowhere'), '--out', out), /nowhere/);
    const random = new Rng(1).fillNormal(new Float32Array(8));
    const foreign = new Map([
      ['lora_unet_other_model_to_q.lora_down.weight', f32([1, 8], random)],
      ['lora_unet_other_model_to_q.lora_up.weight', f32([8, 1], random)],
      ['lora_unet_other_model_to_q.alpha', f32([], [1])],
    ]);
    writeSafetensors(at('foreign.safetensors'), foreign);
    expectRefused(
      northlight('sample', '--model', model, '--out', out, '--lora', at('foreign.safetensors')),
      /foreign\.safetensors/,
    );
    nothingWritten();
  });

  test('a folder that cannot be written to', () => {
    writeFileSync(at('a-file'), '');
    const run = northlight('sample', '--model', model, '--steps', '2', '--out', at('a-file', 'inside'));
    expect(run.err).toMatch(/^northlight: .*a-file.*\n$/);
    expect(run.err).not.toMatch(/\bat .*:\d+:\d+/);
    expect(run.code).toBeGreaterThan(0);
    // Root may write everywhere.
    if (process.getuid?.() === 0) return;
    mkdirSync(at('locked'));
    chmodSync(at('locked'), 0o500);
    const locked = northlight('sample', '--model', model, '--steps', '2', '--out', at('locked', 'inside'));
    expect(locked.err).toMatch(/^northlight: .*locked.*\n$/);
    expect(locked.code).toBeGreaterThan(0);
  });
});
