import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Layers } from '#models/families/layers.ts';
import { writeFileAtomic } from '#models/files.ts';
import type { Model } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, i64 } from '#models/tensor/tensor.ts';

function writeFolder(folder: string, className: string, model: Model, config: object, scheduler: object): string {
  const json = (path: string, value: object) => writeFileAtomic(join(folder, path), `${JSON.stringify(value)}\n`);
  for (const part of ['denoiser', 'scheduler']) mkdirSync(join(folder, part), { recursive: true });
  writeModel(model, join(folder, 'denoiser', 'model.onnx'));
  json('denoiser/config.json', config);
  json('scheduler/scheduler_config.json', scheduler);
  json('model_index.json', { _class_name: className, denoiser: ['northlight', 'OnnxModel'] });
  return folder;
}

export interface TinyMaskedOptions {
  readonly length: number;
  readonly width?: number;
  readonly kernel?: number;
  readonly layers?: number;
  readonly config?: object;
}

/** A masked model of DNA: embedding, class, time, convolutions, logits; random weights, any length and batch. */
export function writeTinyMaskedModel(folder: string, options: TinyMaskedOptions): string {
  const { length, width = 16, kernel = 3, layers = 2 } = options;
  const b = createBuilder();
  const nn = new Layers(b, new Rng(3));
  const ids = b.input('input_ids', 'int64', [1, length]);
  const time = b.input('timestep', 'float32', [1]);
  const classes = b.input('class_labels', 'int64', [1]);
  const row = (v: typeof ids) => b.apply('Unsqueeze', [v, b.i64([1])]);
  const scaled = b.apply('Unsqueeze', [time, b.i64([1, 2])]);
  let x = b.gather(nn.weight('embedding', [5, width], 1), ids, 0);
  x = b.add2(x, row(b.gather(nn.weight('classes', [3, width], 1), classes, 0)));
  x = b.add2(x, b.mul(scaled, nn.weight('time', [1, 1, width], 1)));
  x = b.transpose(x, [0, 2, 1]);
  for (let i = 0; i < layers; i++) {
    const weight = nn.weight(`conv${i}.weight`, [width, width, kernel], Math.sqrt(3 / (width * kernel)));
    x = b.add2(x, nn.silu(b.conv(x, weight, null, { pads: [(kernel - 1) / 2, (kernel - 1) / 2] })));
  }
  b.output(nn.linear('head', b.transpose(x, [0, 2, 1]), 5), 'logits');
  const model = b.toModel('tiny', (v) => ['batch', 'length', 'tokens'].slice(0, v.dims.length));
  return writeFolder(
    folder,
    'MaskedDiffusionPipeline',
    model,
    {
      alphabet: 'ACGT',
      mask_token_id: 4,
      length,
      classes: ['HepG2', 'K562'],
      null_class_id: 2,
      kind: 'dna',
      ...options.config,
    },
    { _class_name: 'MaskedScheduler', noise_schedule: 'loglinear', eps: 0.001, num_inference_steps: 16 },
  );
}

/**
 * A one-hot model of which each class is one sequence: it predicts that sequence whatever it sees. `patterns` holds one
 * channel number per position and class; the last one stands for no class.
 */
export function writeTinyOneHotModel(
  folder: string,
  patterns: readonly (readonly number[])[],
  config: object = {},
): string {
  const length = patterns[0]!.length;
  const b = createBuilder();
  const sample = b.input('sample', 'float32', [1, 1, 4, length]);
  const time = b.input('timestep', 'int64', []);
  const classes = b.input('class_labels', 'int64', [1]);
  const table = patterns.flatMap((p) => [0, 1, 2, 3].flatMap((c) => p.map((at) => (at === c ? 1 : -1))));
  const clean = b.gather(b.initializer('table', f32([patterns.length, 1, 4, length], table)), classes, 0);
  const unused = b.mulScalar(b.add2(sample, b.cast(b.mul(time, b.constant(i64([], [1]))), 'float32')), 0);
  b.output(b.add2(clean, unused), 'out_sample');
  const model = b.toModel('one-hot', (v) => (v.dims.length === 0 ? [] : ['batch', ...v.dims.slice(1)]));
  return writeFolder(
    folder,
    'OneHotDiffusionPipeline',
    model,
    {
      alphabet: 'ACGT',
      length,
      classes: patterns.slice(0, -1).map((_, i) => `cell ${i}`),
      null_class_id: patterns.length - 1,
      kind: 'dna',
      ...config,
    },
    { _class_name: 'DDIMScheduler', prediction_type: 'sample', clip_sample: false, num_inference_steps: 5 },
  );
}
