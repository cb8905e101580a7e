import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '#models/files.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, i64, type Tensor } from '#models/tensor/tensor.ts';
import { alphasCumprodOf } from '#pipelines/schedulers/betas.ts';
import { parseSchedulerConfig } from '#pipelines/schedulers/index.ts';
import type { FlowerAttributes } from './attributes.ts';
import { trainingCaption } from './captions.ts';
import { type FlowerDataset, PICTURE_SIZE, renderDataset } from './dataset.ts';
import { TOKEN_COUNT, tokenize } from './tokenizer.ts';

export const SCHEDULER_CONFIG = {
  _class_name: 'DDIMScheduler',
  num_train_timesteps: 1000,
  beta_schedule: 'squaredcos_cap_v2',
  beta_start: 0.0001,
  beta_end: 0.02,
  prediction_type: 'v_prediction',
  timestep_spacing: 'trailing',
  clip_sample: false,
  set_alpha_to_one: true,
  steps_offset: 0,
};

/** The training drawings, drawn once per (count, seed) and kept in `folder`. */
export async function loadOrDraw(
  folder: string,
  count: number,
  seed: number,
  onProgress: (done: number) => void,
  signal?: AbortSignal,
): Promise<FlowerDataset> {
  const pixelsPath = join(folder, `drawings-${count}-${seed}.bin`);
  const labelsPath = join(folder, `drawings-${count}-${seed}.json`);
  if (existsSync(labelsPath) && existsSync(pixelsPath)) {
    return {
      count,
      pixels: readFileSync(pixelsPath),
      attributes: JSON.parse(readFileSync(labelsPath, 'utf8')) as FlowerAttributes[],
    };
  }
  const data = await renderDataset({ count, seed, split: 'train', onProgress, ...(signal ? { signal } : {}) });
  writeFileAtomic(pixelsPath, data.pixels);
  writeFileAtomic(labelsPath, JSON.stringify(data.attributes));
  return data;
}

const PIXELS = 3 * PICTURE_SIZE * PICTURE_SIZE;

/** Picture `i` in −1…1 into `out` at `offset`. */
export function copyPicture(data: FlowerDataset, i: number, out: Float32Array, offset: number): void {
  const at = i * PIXELS;
  for (let p = 0; p < PIXELS; p++) out[offset + p] = data.pixels[at + p]! / 127.5 - 1;
}

/**
 * Feeds of one training step: noised pictures x_t = √ᾱ x_0 + √(1−ᾱ) ε, their timesteps, captions (dropped with probability
 * `captionDropout` for classifier-free guidance, Ho and Salimans 2022, arXiv:2207.12598) and the target
 * v = √ᾱ ε − √(1−ᾱ) x_0. Timesteps are stratified over the batch
 * and drawn as T·u^`timestepPower`: below 1, noisier ones come more often, which is where a caption decides what is drawn.
 */
export function diffusionBatch(
  data: FlowerDataset,
  options: { batch: number; seed: number; captionDropout: number; timestepPower: number },
): (step: number) => Record<string, Tensor> {
  const alphas = alphasCumprodOf(parseSchedulerConfig(SCHEDULER_CONFIG));
  const { batch } = options;
  const root = new Rng(options.seed).fork('flora-batches');
  return (step) => {
    const rng = root.fork(step);
    const sample = new Float32Array(batch * PIXELS);
    const target = new Float32Array(batch * PIXELS);
    const noise = rng.fork('noise').fillNormal(new Float32Array(batch * PIXELS));
    const timesteps: number[] = [];
    const tokens: number[] = [];
    const clean = new Float32Array(PIXELS);
    const shift = rng.uniform();
    for (let b = 0; b < batch; b++) {
      const i = rng.int(data.count);
      const t = Math.min(
        alphas.length - 1,
        Math.floor((((b + rng.uniform()) / batch + shift) % 1) ** options.timestepPower * alphas.length),
      );
      copyPicture(data, i, clean, 0);
      const a = Math.sqrt(alphas[t]!);
      const s = Math.sqrt(1 - alphas[t]!);
      const at = b * PIXELS;
      for (let p = 0; p < PIXELS; p++) {
        const x0 = clean[p]!;
        const e = noise[at + p]!;
        sample[at + p] = a * x0 + s * e;
        target[at + p] = a * e - s * x0;
      }
      timesteps.push(t);
      tokens.push(...tokenize(rng.uniform() < options.captionDropout ? '' : trainingCaption(data.attributes[i]!, rng)));
    }
    const dims = [batch, 3, PICTURE_SIZE, PICTURE_SIZE];
    return {
      sample: f32(dims, sample),
      target: f32(dims, target),
      timestep: i64([batch], timesteps),
      input_ids: i64([batch, TOKEN_COUNT], tokens),
    };
  };
}
