import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '#models/files.ts';
import type { Model } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import type { DType } from '#models/tensor/tensor.ts';
import {
  type TinyInput,
  type TinyTimestep,
  tinyDenoiser,
  tinyTextEncoder,
  tinyVaeDecoder,
  tinyVaeEncoder,
  withHalfPorts,
  withHalfWeights,
  withInput,
  withPorts,
} from './tiny-graphs.ts';

/**
 * A whole model folder of a kind that people have, in a few hundred random weights: latents of 8×8, pictures of 16×16, prompts of
 * 12 tokens.
 */
export interface TinyFolder {
  readonly name: string;
  /** The family that shall recognise it. */
  readonly family: string;
  /** Writes it into a folder that need not exist, and returns that. */
  write(directory: string): string;
  /** Side of its pictures in pixels, where it is not 16. */
  readonly side?: number;
  /** Code of the error that says why it cannot run, when it cannot. */
  readonly refused?: string;
}

/** Tokens of one run of the tiny text encoders. */
export const TINY_TOKENS = 12;

const WORDS =
  'a an the of on in with red green blue yellow white black cat dog bird tree flower house sea sky sun moon big small old new , very not'.split(
    ' ',
  );
const SPECIAL = ['<|startoftext|>', '<|endoftext|>', '[UNK]'];
export const TINY_VOCABULARY = SPECIAL.length + WORDS.length;

/** A tokenizer of some thirty words, framed as CLIP's. */
function tinyTokenizer(): Record<string, object> {
  const vocab = Object.fromEntries([...SPECIAL, ...WORDS].map((w, i) => [w, i]));
  const special = SPECIAL.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const frame = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const template = [frame(SPECIAL[0]!), { Sequence: { id: 'A', type_id: 0 } }, frame(SPECIAL[1]!)];
  return {
    'tokenizer.json': {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: special,
      normalizer: { type: 'Lowercase' },
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          { type: 'WhitespaceSplit' },
          { type: 'Split', pattern: { String: ',' }, behavior: 'Isolated', invert: false },
        ],
      },
      post_processor: {
        type: 'TemplateProcessing',
        single: template,
        pair: template,
        special_tokens: Object.fromEntries(SPECIAL.slice(0, 2).map((t, i) => [t, { id: t, ids: [i], tokens: [t] }])),
      },
      decoder: null,
      model: { type: 'WordLevel', vocab, unk_token: SPECIAL[2] },
    },
    'tokenizer_config.json': {
      model_max_length: TINY_TOKENS,
      bos_token: SPECIAL[0],
      eos_token: SPECIAL[1],
      pad_token: SPECIAL[1],
      unk_token: SPECIAL[2],
      tokenizer_class: 'PreTrainedTokenizerFast',
    },
  };
}

/** Files of a folder by path: graphs and JSON. */
type Files = Readonly<Record<string, Model | object>>;

const isModel = (file: Model | object): file is Model => 'graph' in file;

/** Writes graphs and JSON files below a folder. */
export function writeFolder(directory: string, files: Files): string {
  for (const [name, file] of Object.entries(files)) {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    if (isModel(file)) writeModel(file, path);
    else writeFileAtomic(path, `${JSON.stringify(file)}\n`);
  }
  return directory;
}

const tokenizerFiles = (folder: string) =>
  Object.fromEntries(Object.entries(tinyTokenizer()).map(([name, json]) => [`${folder}/${name}`, json]));

const EPSILON = {
  _class_name: 'DDIMScheduler',
  num_train_timesteps: 1000,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  prediction_type: 'epsilon',
  timestep_spacing: 'leading',
  steps_offset: 1,
  clip_sample: false,
  set_alpha_to_one: false,
};
const FLOW = { _class_name: 'FlowMatchEulerDiscreteScheduler', num_train_timesteps: 1000, shift: 3 };
const UNET_CONFIG = { sample_size: 8, block_out_channels: [8, 8] };
const VAE_CONFIG = { block_out_channels: [8, 8], latent_channels: 4, scaling_factor: 0.18215 };
const LATENT = [4, 8, 8];

const context = (width: number, free = true): TinyInput => ({
  name: 'encoder_hidden_states',
  dims: [TINY_TOKENS, width],
  ...(free ? { free: [0] } : {}),
});

const vae = (channels = 4, config: object = VAE_CONFIG): Record<string, Model | object> => ({
  'vae_decoder/model.onnx': tinyVaeDecoder(channels),
  'vae_decoder/config.json': { ...config, latent_channels: channels },
  'vae_encoder/model.onnx': tinyVaeEncoder(channels, 'latent_parameters'),
  'vae_encoder/config.json': { ...config, latent_channels: channels },
});

const clip = (width: number, more: Partial<Parameters<typeof tinyTextEncoder>[0]> = {}) =>
  tinyTextEncoder({
    tokens: TINY_TOKENS,
    width,
    vocabulary: TINY_VOCABULARY,
    outputs: ['last_hidden_state', 'pooler_output'],
    ...more,
  });

/** The files of Stable Diffusion 1 as optimum exports it. */
export function sd1Files(
  options: {
    readonly timestep?: TinyTimestep;
    readonly output?: string;
    readonly width?: number;
    readonly channels?: number;
    readonly baked?: boolean;
    readonly batch?: number;
    readonly ids?: DType;
    readonly inputs?: readonly TinyInput[];
    readonly scheduler?: object;
    readonly index?: object;
  } = {},
): Record<string, Model | object> {
  const width = options.width ?? 16;
  return {
    'model_index.json': {
      _class_name: 'StableDiffusionPipeline',
      unet: ['diffusers', 'UNet2DConditionModel'],
      ...options.index,
    },
    'unet/model.onnx': tinyDenoiser({
      sample: 'sample',
      dims: [options.channels ?? 4, 8, 8],
      outChannels: 4,
      timestep: options.timestep ?? { scalar: true },
      inputs: [context(width, !options.baked), ...(options.inputs ?? [])],
      ...(options.output ? { output: options.output } : {}),
      ...(options.baked ? { baked: true } : {}),
      ...(options.batch ? { batch: options.batch } : {}),
    }),
    'unet/config.json': { ...UNET_CONFIG, in_channels: options.channels ?? 4, cross_attention_dim: width },
    'text_encoder/model.onnx': clip(width, options.ids ? { ids: options.ids } : {}),
    'text_encoder/config.json': { hidden_size: width },
    ...tokenizerFiles('tokenizer'),
    ...vae(),
    'scheduler/scheduler_config.json': { ...EPSILON, ...options.scheduler },
  };
}

/** The files of SDXL, or of its refiner, which has the second encoder only and is told an aesthetic score. */
export function sdxlFiles(
  options: {
    readonly refiner?: boolean;
    readonly scheduler?: object;
    readonly inputs?: readonly TinyInput[];
    readonly index?: object;
  } = {},
): Record<string, Model | object> {
  const { refiner = false } = options;
  const [first, second, pooled] = [8, 12, 10];
  const width = refiner ? second : first + second;
  const encoder = (d: number, seed: string, projection?: number) =>
    clip(d, {
      seed,
      outputs: projection
        ? ['text_embeds', 'last_hidden_state', 'hidden_states']
        : ['last_hidden_state', 'pooler_output', 'hidden_states'],
      ...(projection ? { projection } : {}),
    });
  return {
    'model_index.json': {
      _class_name: 'StableDiffusionXLPipeline',
      force_zeros_for_empty_prompt: !refiner,
      ...(refiner ? { requires_aesthetics_score: true } : {}),
      ...options.index,
    },
    'unet/model.onnx': tinyDenoiser({
      sample: 'sample',
      dims: LATENT,
      timestep: { scalar: true },
      inputs: [
        context(width),
        { name: 'text_embeds', dims: [pooled] },
        { name: 'time_ids', dims: [refiner ? 5 : 6] },
        ...(options.inputs ?? []),
      ],
    }),
    'unet/config.json': { ...UNET_CONFIG, in_channels: 4, cross_attention_dim: width },
    ...(refiner
      ? {}
      : {
          'text_encoder/model.onnx': encoder(first, 'te1'),
          'text_encoder/config.json': { hidden_size: first },
          ...tokenizerFiles('tokenizer'),
        }),
    'text_encoder_2/model.onnx': encoder(second, 'te2', pooled),
    'text_encoder_2/config.json': { hidden_size: second, projection_dim: pooled },
    ...tokenizerFiles('tokenizer_2'),
    ...vae(4, { ...VAE_CONFIG, scaling_factor: 0.13025 }),
    'scheduler/scheduler_config.json': { ...EPSILON, ...options.scheduler },
  };
}

/** The folder in another precision: every graph changed. */
const every = (files: Files, change: (model: Model) => Model): Record<string, Model | object> =>
  Object.fromEntries(Object.entries(files).map(([name, f]) => [name, isModel(f) ? change(f) : f]));

const moved = (files: Files, from: RegExp, to: string): Record<string, Model | object> =>
  Object.fromEntries(Object.entries(files).map(([name, f]) => [name.replace(from, to), f]));

const folder = (name: string, family: string, files: () => Files, refused?: string): TinyFolder => ({
  name,
  family,
  write: (directory) => writeFolder(directory, files()),
  ...(refused ? { refused } : {}),
});

/** The files of Stable Diffusion 3; T5 may be left out. */
export function sd3Files(options: { readonly t5?: boolean } = {}): Record<string, Model | object> {
  const { t5 = true } = options;
  const [first, second, width] = [6, 8, 20];
  const encoder = (d: number, seed: string) =>
    clip(d, { seed, outputs: ['text_embeds', 'last_hidden_state', 'hidden_states'] });
  return {
    'model_index.json': {
      _class_name: 'StableDiffusion3Pipeline',
      transformer: ['diffusers', 'SD3Transformer2DModel'],
    },
    'transformer/model.onnx': tinyDenoiser({
      sample: 'hidden_states',
      dims: [8, 8, 8],
      output: 'out_hidden_states',
      inputs: [context(width), { name: 'pooled_projections', dims: [first + second] }],
    }),
    'transformer/config.json': { sample_size: 8, joint_attention_dim: width, in_channels: 8 },
    'text_encoder/model.onnx': encoder(first, 'te1'),
    ...tokenizerFiles('tokenizer'),
    'text_encoder_2/model.onnx': encoder(second, 'te2'),
    ...tokenizerFiles('tokenizer_2'),
    ...(t5
      ? {
          'text_encoder_3/model.onnx': clip(width, {
            seed: 'te3',
            outputs: ['last_hidden_state'],
            tokens: 16,
            free: true,
          }),
          'text_encoder_3/config.json': { d_model: width },
          ...tokenizerFiles('tokenizer_3'),
        }
      : {}),
    ...vae(8, { block_out_channels: [8, 8], scaling_factor: 1.5305, shift_factor: 0.0609 }),
    'scheduler/scheduler_config.json': FLOW,
  };
}

/** The files of Flux: dev is told the guidance scale, schnell is not; positions had a batch axis once. */
export function fluxFiles(
  options: {
    readonly schnell?: boolean;
    readonly batchedIds?: boolean;
    readonly output?: string;
    readonly baked?: boolean;
    readonly fill?: boolean;
  } = {},
): Record<string, Model | object> {
  const [channels, width, pooled] = [4, 12, 6];
  const ids = (name: string, rows: number): TinyInput => ({
    name,
    dims: [rows, 3],
    ...(options.batchedIds ? {} : { batched: false as const }),
    free: [0],
  });
  return {
    'model_index.json': { _class_name: 'FluxPipeline', transformer: ['diffusers', 'FluxTransformer2DModel'] },
    'transformer/model.onnx': tinyDenoiser({
      sample: 'hidden_states',
      dims: [16, 4 * channels + (options.fill ? 5 : 0)],
      outChannels: 4 * channels,
      output: options.output ?? 'out_hidden_states',
      inputs: [
        context(width),
        { name: 'pooled_projections', dims: [pooled] },
        ids('txt_ids', TINY_TOKENS),
        ids('img_ids', 16),
        ...(options.schnell ? [] : [{ name: 'guidance', dims: [] }]),
      ],
      ...(options.baked ? { baked: true } : {}),
    }),
    'transformer/config.json': { in_channels: 4 * channels, guidance_embeds: !options.schnell, sample_size: 8 },
    'text_encoder/model.onnx': clip(pooled, { seed: 'te1' }),
    ...tokenizerFiles('tokenizer'),
    'text_encoder_2/model.onnx': clip(width, { seed: 'te2', outputs: ['last_hidden_state'] }),
    ...tokenizerFiles('tokenizer_2'),
    ...vae(channels, { block_out_channels: [8, 8], scaling_factor: 0.3611, shift_factor: 0.1159 }),
    'scheduler/scheduler_config.json': options.schnell
      ? { ...FLOW, shift: 1 }
      : { ...FLOW, use_dynamic_shifting: true, base_shift: 0.5, max_shift: 1.15 },
  };
}

/** The files of PixArt (T5 prompt, in its first form told the size) or of DiT (classes); both also give a variance. */
export function ditFiles(kind: 'pixart-alpha' | 'pixart-sigma' | 'classes'): Record<string, Model | object> {
  const width = 12;
  const text = kind !== 'classes';
  const inputs: TinyInput[] = text
    ? [context(width), { name: 'encoder_attention_mask', dims: [TINY_TOKENS], dtype: 'int64', free: [0] }]
    : [{ name: 'class_labels', dims: [], dtype: 'int64' }];
  if (kind === 'pixart-alpha') inputs.push({ name: 'resolution', dims: [2] }, { name: 'aspect_ratio', dims: [1] });
  return {
    'model_index.json': text
      ? { _class_name: kind === 'pixart-alpha' ? 'PixArtAlphaPipeline' : 'PixArtSigmaPipeline' }
      : {
          _class_name: 'DiTPipeline',
          id2label: { 0: 'red cat, kitty', 1: 'the old blue house, very small', 2: 'tree' },
        },
    'transformer/model.onnx': tinyDenoiser({
      sample: 'hidden_states',
      dims: LATENT,
      outChannels: 8,
      output: 'out_hidden_states',
      timestep: { dtype: 'int64' },
      inputs,
    }),
    'transformer/config.json': {
      in_channels: 4,
      out_channels: 8,
      sample_size: 8,
      ...(text ? {} : { num_embeds_ada_norm: 3 }),
    },
    ...(text
      ? {
          'text_encoder/model.onnx': clip(width, { outputs: ['last_hidden_state'], attentionMask: true }),
          ...tokenizerFiles('tokenizer'),
        }
      : {}),
    ...vae(),
    'scheduler/scheduler_config.json': EPSILON,
  };
}

const LCM: TinyInput = { name: 'timestep_cond', dims: [16] };
const TRAILING = { _class_name: 'EulerDiscreteScheduler', timestep_spacing: 'trailing' };

/** Every kind of folder that formats of the field know. */
export const TINY_FOLDERS: readonly TinyFolder[] = [
  folder('sd1', 'sd1', () => sd1Files()),
  folder('sd2', 'sd2', () => sd1Files({ width: 1024 })),
  folder('sd2-v', 'sd2', () => sd1Files({ width: 1024, scheduler: { prediction_type: 'v_prediction' } })),
  folder('sdxl', 'sdxl', () => sdxlFiles()),
  folder('sdxl-refiner', 'sdxl', () => sdxlFiles({ refiner: true })),
  folder('sd-turbo', 'turbo', () => sd1Files({ scheduler: TRAILING })),
  folder('sdxl-turbo', 'turbo', () =>
    sdxlFiles({ scheduler: { ...TRAILING, _class_name: 'EulerAncestralDiscreteScheduler' } }),
  ),
  folder('lcm', 'lcm', () =>
    sd1Files({
      inputs: [LCM],
      scheduler: { _class_name: 'LCMScheduler' },
      index: { _class_name: 'LatentConsistencyModelPipeline' },
    }),
  ),
  folder('lcm-sdxl', 'lcm', () => sdxlFiles({ inputs: [LCM], scheduler: { _class_name: 'LCMScheduler' } })),
  folder('sd3', 'sd3', () => sd3Files()),
  folder('sd3-no-t5', 'sd3', () => sd3Files({ t5: false })),
  folder('flux-dev', 'flux', () => fluxFiles()),
  folder('flux-schnell', 'flux', () => fluxFiles({ schnell: true })),
  folder('flux-old-ids', 'flux', () => fluxFiles({ batchedIds: true, output: 'sample' })),
  folder('flux-baked', 'flux', () => fluxFiles({ baked: true })),
  folder('pixart-alpha', 'dit', () => ditFiles('pixart-alpha')),
  folder('pixart-sigma', 'dit', () => ditFiles('pixart-sigma')),
  folder('dit-classes', 'dit', () => ditFiles('classes')),
  folder('renamed-class', 'sd1', () => sd1Files({ index: { _class_name: 'MyVeryOwnPipeline' } })),
  folder('timestep-int64-batch', 'sd1', () => sd1Files({ timestep: { dtype: 'int64' } })),
  folder('timestep-int64-scalar', 'sd1', () => sd1Files({ timestep: { dtype: 'int64', scalar: true } })),
  folder('timestep-int32-batch', 'sd1', () => sd1Files({ timestep: { dtype: 'int32' } })),
  folder('timestep-float32-batch', 'sd1', () => sd1Files({ timestep: {} })),
  folder('timestep-float16-scalar', 'sd1', () => sd1Files({ timestep: { dtype: 'float16', scalar: true } })),
  folder('timestep-float32-one', 'sd1', () => sd1Files({ timestep: { one: true } })),
  folder('baked', 'sd1', () => sd1Files({ baked: true, batch: 1 })),
  folder('baked-batch-2', 'sd1', () => sd1Files({ baked: true, batch: 2 })),
  folder('float16', 'sd1', () => every(sd1Files(), withHalfPorts)),
  folder('sdxl-float16', 'sdxl', () => every(sdxlFiles(), withHalfPorts)),
  folder('float16-weights', 'sd1', () => every(sd1Files({ timestep: {}, output: 'sample_out' }), withHalfWeights)),
  folder('old-diffusers', 'sd1', () => ({
    ...sd1Files({ timestep: { dtype: 'int64' }, ids: 'int32', index: { _class_name: 'OnnxStableDiffusionPipeline' } }),
    'vae_encoder/model.onnx': tinyVaeEncoder(4, 'latent_sample'),
  })),
  folder('onnx-community', 'sd1', () => moved(sd1Files(), /^(\w+)\/model\.onnx$/, '$1/onnx/model_fp16.onnx')),
  folder('only-graph', 'sd1', () => moved(sd1Files(), /^unet\/model\.onnx$/, 'unet/denoiser.opt.onnx')),
  {
    ...folder('no-config', 'sd1', () => {
      const all = Object.entries(sd1Files());
      return Object.fromEntries(all.filter(([name]) => name !== 'unet/config.json'));
    }),
    side: 512,
  },
  folder('inpainting', 'sd1', () =>
    sd1Files({ channels: 9, index: { _class_name: 'StableDiffusionInpaintPipeline' } }),
  ),
  folder(
    'bfloat16',
    'sd1',
    () => {
      const all = sd1Files();
      const dtypes = new Map([['sample', 'bfloat16' as const]]);
      return { ...all, 'unet/model.onnx': withPorts(all['unet/model.onnx'] as Model, dtypes) };
    },
    'model/bfloat16',
  ),
  folder(
    'controlnet',
    'sd1',
    () => {
      const all = sd1Files();
      const unet = all['unet/model.onnx'] as Model;
      return {
        ...all,
        'unet/model.onnx': withInput(unet, 'down_block_0_additional_residual', ['batch_size', 8, 'h', 'w']),
      };
    },
    'model/unknown-input',
  ),
];

export const tinyFolder = (name: string): TinyFolder => {
  const found = TINY_FOLDERS.find((f) => f.name === name);
  if (!found) throw new RangeError(`There is no tiny folder called ${name}.`);
  return found;
};
