import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { triedOperators, triedOperatorsPath } from '#build/scripts/generate-tried-operators.ts';
import { examineModel } from '#models/families/doctor.ts';
import { isExternal } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { writeModel } from '#models/onnx/write.ts';
import { TINY_FOLDERS, tinyFolder } from './tiny-folders.ts';

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'northlight-doctor-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const tiny = (name: string) => tinyFolder(name).write(join(temporary(), name));
const edit = (path: string, change: (json: Record<string, unknown>) => object) =>
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>)));
const codes = (path: string) => examineModel(path).findings.map((f) => f.code);

/** The denoiser with its weights in a file beside it, as optimum writes large models. */
function withExternalWeights(model: string): string {
  const path = join(model, 'unet', 'model.onnx');
  writeModel(readModel(path), path, { external: { location: 'model.onnx_data', minBytes: 0 } });
  return join(model, 'unet', 'model.onnx_data');
}

test.each(TINY_FOLDERS.map((f) => [f.name, f] as const))('%s is told as what it is', (name, folder) => {
  const report = examineModel(folder.write(join(temporary(), name)));
  expect(report.usable).toBe(folder.refused === undefined);
  if (folder.refused !== undefined) {
    expect(report.findings[0]).toMatchObject({ weight: 'stops', code: folder.refused });
    expect(report.status).toMatch(/^Cannot run: /);
    return;
  }
  expect(report).toMatchObject({ family: folder.family, kind: 'image' });
  expect(report.status).toMatch(/^Ready: /);
  expect(report.parameters).toBeGreaterThan(0);
  expect(report.components.map((c) => c.role)).toContain('denoiser');
});

test('the bundled model is ready, with nothing to remark', () => {
  const report = examineModel('models/bundled/flora');
  expect(report).toMatchObject({
    usable: true,
    family: 'pixel-space',
    exporter: 'Northlight',
    findings: [],
  });
  expect(report.components.map((c) => c.file)).toEqual(['unet/model.onnx', 'text_encoder/model.onnx']);
});

describe('each fault is named with what to do', () => {
  test.each<[string, (m: string) => void, string]>([
    [
      'a missing decoder',
      (m) => {
        edit(join(m, 'model_index.json'), (j) => ({ ...j, vae: ['diffusers', 'AutoencoderKL'] }));
        rmSync(join(m, 'vae_decoder'), { recursive: true });
      },
      'model/missing-file',
    ],
    ['a missing scheduler', (m) => rmSync(join(m, 'scheduler'), { recursive: true }), 'model/missing-file'],
    ['a graph cut short', (m) => truncateSync(join(m, 'unet', 'model.onnx'), 1000), 'onnx/truncated'],
    [
      'a graph that is a placeholder',
      (m) => writeFileSync(join(m, 'unet', 'model.onnx'), 'version https://git-lfs.github.com/spec/v1\n'),
      'onnx/lfs-pointer',
    ],
    ['a configuration that is no JSON', (m) => writeFileSync(join(m, 'unet', 'config.json'), '{'), 'model/bad-json'],
    ['weights that were left behind', (m) => rmSync(withExternalWeights(m)), 'onnx/external-missing'],
    ['weights cut short', (m) => truncateSync(withExternalWeights(m), 100), 'onnx/external-short'],
    [
      'weights that are a placeholder',
      (m) => writeFileSync(withExternalWeights(m), 'version https://git-lfs.github.com/spec/v1\n'),
      'onnx/lfs-pointer',
    ],
    [
      'a video model',
      (m) => edit(join(m, 'model_index.json'), (j) => ({ ...j, _class_name: 'CogVideoXPipeline' })),
      'model/video',
    ],
  ])('%s', (_, spoil, code) => {
    const model = tiny('sd1');
    spoil(model);
    const report = examineModel(model);
    expect(report.usable).toBe(false);
    expect(report.findings.map((f) => f.code)).toContain(code);
    for (const finding of report.findings) expect(finding.hint).not.toBe('');
    expect(report.status).toContain('Cannot run');
  });

  test('two damaged graphs are both named, not one after the other', () => {
    const model = tiny('sd1');
    for (const part of ['unet', 'text_encoder']) truncateSync(join(model, part, 'model.onnx'), 1000);
    const messages = examineModel(model)
      .findings.map((f) => f.message)
      .join('\n');
    expect(messages).toContain('unet');
    expect(messages).toContain('text_encoder');
  });

  test('an operator of a domain that the runtime lacks stops it', () => {
    const model = tiny('sd1');
    const path = join(model, 'unet', 'model.onnx');
    const graph = readModel(path);
    graph.graph.nodes[0]!.domain = 'my.plugin';
    graph.opsets.set('my.plugin', 1);
    writeModel(graph, path);
    expect(codes(model)).toContain('model/custom-operator');
  });
});

describe('limits are told without stopping', () => {
  test('a fixed size', () => expect(codes(tiny('baked'))).toContain('fixed-size'));
  test('an inpainting network', () => expect(codes(tiny('inpainting'))).toContain('inpainting'));
  test('a missing encoder', () => {
    const model = tiny('sd1');
    rmSync(join(model, 'vae_encoder'), { recursive: true });
    const report = examineModel(model);
    expect(report.usable).toBe(true);
    expect(report.findings.map((f) => f.code)).toContain('no-encoder');
  });
});

describe('what is no ONNX model folder is called by its name', () => {
  test.each<[string, (at: string) => string, RegExp, RegExp]>([
    ['a checkpoint', (at) => file(at, 'sd15.safetensors'), /PyTorch checkpoint/, /optimum-cli export onnx/],
    ['an old checkpoint', (at) => file(at, 'sd15.ckpt'), /PyTorch checkpoint/, /optimum-cli/],
    ['a GGUF', (at) => file(at, 'flux-q4.gguf'), /GGUF/, /optimum-cli/],
    ['one graph', (at) => file(at, 'model.onnx'), /one graph/, /model_index\.json/],
    ['an index', (at) => file(at, 'model_index.json'), /index of a model/, /Choose its folder/],
    ['nothing', (at) => join(at, 'ghost'), /nothing at/, /Check the path/],
    ['an empty folder', (at) => folder(at, 'empty'), /empty/, /model_index/],
    [
      'a folder with a checkpoint',
      (at) => dirname(file(at, 'x/v1-5.safetensors')),
      /PyTorch checkpoint/,
      /optimum-cli/,
    ],
    ['a folder with a graph', (at) => dirname(file(at, 'x/model.onnx')), /no model_index/, /optimum-cli/],
    ['a folder with an adapter', (at) => dirname(file(at, 'x/pytorch_lora_weights.safetensors')), /adapter/, /--lora/],
    [
      'a PyTorch pipeline',
      (at) => {
        file(at, 'sd/unet/diffusion_pytorch_model.safetensors');
        return dirname(file(at, 'sd/model_index.json', '{"_class_name": "StableDiffusionPipeline"}'));
      },
      /PyTorch model \(StableDiffusionPipeline\)/,
      /optimum-cli export onnx --model \S+sd NEW_FOLDER/,
    ],
    [
      'a folder of models',
      (at) => {
        for (const name of ['one', 'two']) tinyFolder('sd1').write(join(at, 'all', name));
        return join(at, 'all');
      },
      /2 model folders but is none itself: one, two/,
      /Choose one/,
    ],
    [
      'a part of a model',
      (at) => join(tinyFolder('sd1').write(join(at, 'sd')), 'unet'),
      /one part of a model/,
      /folder above/,
    ],
    [
      'a model without its index',
      (at) => {
        const model = tinyFolder('sd1').write(join(at, 'sd'));
        rmSync(join(model, 'model_index.json'));
        return model;
      },
      /model_index\.json is missing/,
      /Copy model_index\.json/,
    ],
  ])('%s', (_, make, message, hint) => {
    const report = examineModel(make(temporary()));
    expect(report.usable).toBe(false);
    expect(report.findings[0]?.message).toMatch(message);
    expect(report.findings[0]?.hint).toMatch(hint);
  });

  const folder = (at: string, name: string) => {
    mkdirSync(join(at, name), { recursive: true });
    return join(at, name);
  };
  const file = (at: string, name: string, text = 'x') => {
    const path = join(at, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  };
});

describe('exporters are told apart', () => {
  test.each([
    ['old-diffusers', 'diffusers’ own converter, before optimum'],
    ['onnx-community', 'onnx-community (transformers.js)'],
  ])('%s', (name, title) => {
    expect(examineModel(tiny(name)).exporter).toBe(title);
  });

  test('weights in model.onnx_data are optimum’s, in weights.pb the old converter’s', () => {
    const model = tiny('sd1');
    const data = withExternalWeights(model);
    expect(examineModel(model).exporter).toBe('optimum');
    const path = join(model, 'unet', 'model.onnx');
    const graph = readModel(path);
    for (const [name, t] of graph.graph.initializers) {
      if (isExternal(t))
        graph.graph.initializers.set(name, { ...t, external: { ...t.external, location: 'weights.pb' } });
    }
    renameSync(data, join(model, 'unet', 'weights.pb'));
    writeModel(graph, path);
    expect(examineModel(model).exporter).toContain('diffusers');
  });
});

test('of providers it says what was tried and what was not', () => {
  const { providers } = examineModel(tiny('sd1'));
  const [webgpu, cuda] = providers;
  expect(webgpu).toMatchObject({ provider: 'webgpu', device: expect.stringContaining('SwiftShader') });
  expect(cuda).toMatchObject({ provider: 'cuda', device: '', faulty: [], leftToCpu: [] });
  expect(cuda!.untried.length).toBeGreaterThan(3);
});

test('the table of tried operators is that of the recorded trials', () => {
  expect(readFileSync(triedOperatorsPath, 'utf8')).toBe(triedOperators());
});
