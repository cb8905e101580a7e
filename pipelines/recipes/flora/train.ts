import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { writeJsonAtomic } from '#models/files.ts';
import type { Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { writeModel } from '#models/onnx/write.ts';
import { dimsEqual, type Tensor } from '#models/tensor/tensor.ts';
import { trainRun, workFolder } from '#pipelines/recipes/train-run.ts';
import type { RecipeIo, RecipeOptions } from '#pipelines/recipes/types.ts';
import { weightsOf, withWeights } from '#pipelines/recipes/weights.ts';
import { diffusionBatch, loadOrDraw, SCHEDULER_CONFIG } from './data.ts';
import { PICTURE_SIZE } from './dataset.ts';
import { buildTextEncoder, buildUnet, type FloraConfig } from './network.ts';
import { TOKEN_COUNT, TOKENS, tokenizerConfigJson, tokenizerJson } from './tokenizer.ts';
import { buildTrainingGraph } from './training-graph.ts';

export const floraSchema = z.object({
  steps: z.int().min(1).default(10000).describe('updates'),
  batch: z.int().min(1).default(16).describe('pictures per update'),
  drawings: z.int().min(1).default(24000).describe('different training drawings'),
  learningRate: z.number().positive().default(1e-3).describe('peak rate of AdamW'),
  warmup: z.int().min(0).default(200).describe('updates until the peak rate'),
  decay: z.int().min(1).default(2500).describe('updates over which the rate falls to zero at the end'),
  captionDropout: z.number().min(0).max(1).default(0.1).describe('share of captions left empty, for guidance'),
  timestepPower: z
    .number()
    .positive()
    .default(0.5)
    .describe('timesteps are T·u^power; below 1, noisier ones come more often'),
  emaDecay: z.number().min(0).max(1).default(0.9985).describe('decay of the averaged weights'),
  unetFrom: z
    .string()
    .default('')
    .describe('start the denoiser from the weights of this unet/model.onnx; its reading of captions is made anew'),
  checkpointEvery: z.int().min(1).default(250).describe('updates between checkpoints'),
});

export const FLORA: FloraConfig = {
  size: PICTURE_SIZE,
  channels: [32, 80, 128],
  heads: 4,
  textWidth: 128,
  textLayers: 2,
  vocabulary: TOKENS.length,
  padId: 0,
  tokens: TOKEN_COUNT,
  embedding: 192,
};

/** Trains the flower model and writes it as a model folder. Stops between updates and goes on from the last checkpoint. */
export async function trainFlora(
  options: RecipeOptions<z.output<typeof floraSchema>>,
  io: RecipeIo,
): Promise<{ directory: string; steps: number; loss: number }> {
  const s = options.set;
  const data = await loadOrDraw(
    workFolder(options.out),
    s.drawings,
    options.seed,
    (done) => io.progress('drawing', done, s.drawings),
    io.signal,
  );
  const textEncoder = buildTextEncoder(FLORA, options.seed);
  const unet = buildUnet(FLORA, options.seed);
  const initial = new Map([...weightsOf(textEncoder, 'text_encoder.'), ...weightsOf(unet, 'unet.')]);
  if (s.unetFrom !== '') adoptUnet(initial, readModel(s.unetFrom));
  const { state, loss } = await trainRun(
    options,
    {
      build: (memory) => buildTrainingGraph(textEncoder, unet, s.batch, FLORA.tokens, FLORA.size, memory),
      initial,
      batch: diffusionBatch(data, {
        batch: s.batch,
        seed: options.seed,
        captionDropout: s.captionDropout,
        timestepPower: s.timestepPower,
      }),
      weightDecay: 0.01,
      maxGradientNorm: 1,
    },
    io,
  );
  exportFlora(options.out, textEncoder, unet, state.ema);
  return { directory: options.out, steps: state.step, loss };
}

/** Weights that read captions stay as they are: they belong to the text encoder they were trained with. */
const READS_CAPTIONS = /^(caption\.|.*attn2\.to_[kv]\.)/;

function adoptUnet(weights: Map<string, Tensor<'float32'>>, from: Model): void {
  for (const [name, given] of weightsOf(from)) {
    if (READS_CAPTIONS.test(name)) continue;
    const known = weights.get(`unet.${name}`);
    if (!known || !dimsEqual(known.dims, given.dims)) {
      throw new NorthlightError(
        'train/other-network',
        `${name} of unetFrom does not fit this network.`,
        'Give the unet/model.onnx of a flora model.',
      );
    }
    weights.set(`unet.${name}`, given);
  }
}

/** Writes a model folder in the diffusers layout with the given weights. */
export function exportFlora(
  out: string,
  textEncoder: Model,
  unet: Model,
  weights: ReadonlyMap<string, Tensor<'float32'>>,
): void {
  const json = (path: string, value: object) => writeJsonAtomic(join(out, path), value);
  for (const folder of ['unet', 'text_encoder', 'tokenizer', 'scheduler'])
    mkdirSync(join(out, folder), { recursive: true });
  writeModel(withWeights(unet, weights, 'unet.'), join(out, 'unet', 'model.onnx'));
  writeModel(withWeights(textEncoder, weights, 'text_encoder.'), join(out, 'text_encoder', 'model.onnx'));
  json('unet/config.json', {
    _class_name: 'UNet2DConditionModel',
    sample_size: FLORA.size,
    in_channels: 3,
    out_channels: 3,
    cross_attention_dim: FLORA.textWidth,
  });
  json('text_encoder/config.json', {
    _class_name: 'FloraTextEncoder',
    hidden_size: FLORA.textWidth,
    max_position_embeddings: FLORA.tokens,
  });
  json('tokenizer/tokenizer.json', tokenizerJson());
  json('tokenizer/tokenizer_config.json', tokenizerConfigJson());
  json('scheduler/scheduler_config.json', SCHEDULER_CONFIG);
  json('model_index.json', {
    _class_name: 'DDPMPipeline',
    unet: ['northlight', 'OnnxModel'],
    scheduler: ['diffusers', 'DDIMScheduler'],
    text_encoder: ['northlight', 'OnnxModel'],
    tokenizer: ['transformers', 'PreTrainedTokenizerFast'],
  });
}
