import { dirname } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { type EarlierReading, normaliseEarlier, readEarlier } from '#models/families/clip-skip.ts';
import type { EncodedText, ImageModel, TextRole, VaePlan } from '#models/families/family.ts';
import { type ModelFolder, openModelFolder } from '#models/families/index.ts';
import { encodePrompt, type PromptEncoder, type EncodedText as PromptText } from '#models/families/prompt/index.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session, type SessionOptions } from '#models/runtime/session.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { insertLora, type LoraScale, type LoraTarget } from '#models/training/lora.ts';
import { parseSchedulerConfig, type SchedulerConfig } from '#pipelines/schedulers/index.ts';
import { type AdapterFile, type Adapters, openAdapters } from './adapters.ts';
import {
  createNetworkDenoiser,
  type DenoiserRequest,
  type NetworkDenoiser,
  type PromptCondition,
} from './network-denoiser.ts';
import { createTextEncoder } from './text-encoder.ts';
import {
  createVaeDecoder,
  createVaeEncoder,
  type DecodeOptions,
  identityEncoder,
  type VaeDecoder,
  type VaeEncoder,
} from './vae.ts';

export type { AdapterFile } from './adapters.ts';
export type { NetworkDenoiser, PromptCondition } from './network-denoiser.ts';

/** An adapter in training: its numbers are fed at every call, so that changes show at once. */
export interface LiveAdapter {
  readonly targets: readonly LoraTarget[];
  readonly scale: LoraScale;
  readonly parameters: ReadonlyMap<string, Tensor>;
}

export interface PipelineOptions extends Pick<SessionOptions, 'provider' | 'threads'> {
  /** Weights are read from their files and not copied into other orders or widths: slower, in much less memory. */
  readonly lean?: boolean;
  readonly adapters?: readonly AdapterFile[];
  readonly live?: LiveAdapter;
  /** Layer of CLIP text encoders to read, counted back from the one that the family reads: 1, the default. */
  readonly clipSkip?: number;
}

/** A picture as a tensor: float32 planes `[3, H, W]` (or `[1, H, W]`) in −1…1. */
export interface DecodedPicture {
  readonly data: Float32Array;
  readonly width: number;
  readonly height: number;
  /** Side in pixels of the tiles it was decoded in; null for none. */
  readonly tile: number | null;
}

/** A loaded image model. Close it to free its sessions. */
export interface ImagePipeline {
  /** What it was opened with. */
  readonly options: PipelineOptions;
  readonly folder: ModelFolder;
  readonly model: ImageModel;
  readonly scheduler: SchedulerConfig;
  /** Shape of one sample at the usual size, `[C, H, W]`. */
  readonly dims: readonly [number, number, number];
  /** What prompts become for the network. What the text encoders said is remembered. */
  encode(texts: readonly string[], negative: string): Promise<PromptCondition[]>;
  /** The network with guidance, for pictures of a size in pixels (default: the usual one). */
  denoiser(guidanceScale: number, request?: Partial<Omit<DenoiserRequest, 'guidanceScale'>>): NetworkDenoiser;
  /** A finished sample of shape `dims` as a picture. */
  decode(sample: Float32Array, dims: readonly [number, number, number], how?: DecodeOptions): Promise<DecodedPicture>;
  /** Makes samples of pictures; opened when first asked for. @throws {NorthlightError} `sampling/no-encoder` */
  encoder(): Promise<VaeEncoder>;
  /** Samples sent through the network so far; guidance counts two. */
  readonly calls: { count: number };
  close(): Promise<void>;
}

const LEAN = { optimization: 'extended', prepack: false, foldConstants: false } as const;

/** @throws {NorthlightError} of the model folder, the runtime, or an adapter that does not belong to the model. */
export async function loadPipeline(directory: string, options: PipelineOptions = {}): Promise<ImagePipeline> {
  const folder = openModelFolder(directory);
  const { model } = folder;
  const scheduler = parseSchedulerConfig(folder.schedulerConfig, `${folder.path}/scheduler/scheduler_config.json`);
  const session = {
    ...(options.provider ? { provider: options.provider } : {}),
    ...(options.threads ? { threads: options.threads } : {}),
    ...(options.lean ? LEAN : {}),
  };
  const opened: Session[] = [];
  const open = async (graph: string | Uint8Array, more: SessionOptions = {}) => {
    const made = await createSession(graph, { ...session, ...more });
    opened.push(made);
    return made;
  };
  const close = async () => {
    for (const s of opened.splice(0)) await s.release();
  };
  try {
    const networks = model.text.map((part) => part.component.role as TextRole);
    const adapters = openAdapters(options.adapters ?? [], ['denoiser', ...networks]);
    const unet = await openDenoiser(folder, adapters, options, open);
    const encoders: PromptEncoder[] = [];
    for (const reading of readEarlier(model, options.clipSkip ?? 1))
      encoders.push(createTextEncoder(reading.part, await openText(reading, adapters, open)));
    const decoder = model.vae ? await openDecoder(model.vae, open) : null;
    let encoder: Promise<VaeEncoder> | undefined;
    const calls = { count: 0 };
    return {
      options,
      folder,
      model,
      scheduler,
      dims: folder.dims,
      calls,
      async encode(texts, negative) {
        const out: PromptCondition[] = [];
        for (const text of texts) {
          const both = await encodePrompt(encoders, text, negative);
          out.push({
            prompt: model.condition(asTensors(both.prompt), text, 'prompt'),
            negative: model.condition(asTensors(both.negative), negative, 'negative'),
            unread: both.unread,
          });
        }
        return out;
      },
      denoiser(guidanceScale, request = {}) {
        const { width, height } = sizeOf(folder, request);
        return createNetworkDenoiser({
          model,
          session: unet,
          request: { ...request, guidanceScale, width, height },
          calls,
          live: options.live?.parameters,
        });
      },
      async decode(sample, dims, how) {
        if (!decoder) return { data: sample, width: dims[2], height: dims[1], tile: null };
        const { picture, tile } = await decoder.decode(f32(dims, sample), how);
        return { data: picture.data, width: picture.dims[2]!, height: picture.dims[1]!, tile };
      },
      encoder() {
        encoder ??= openEncoder(folder, open);
        return encoder;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

type Open = (graph: string | Uint8Array, more?: SessionOptions) => Promise<Session>;

/** By path where the graph is as it was, so that its weights stay out of this process's own memory. */
async function openDenoiser(
  folder: ModelFolder,
  adapters: Adapters,
  options: PipelineOptions,
  open: Open,
): Promise<Session> {
  const { live } = options;
  if (!adapters.concern('denoiser') && !live) return open(folder.unetPath);
  let adapted = adapters.apply(folder.unet, 'denoiser');
  if (live) adapted = insertLora(adapted, live.targets, live.scale, live.parameters, { as: 'inputs' });
  return open(encodeModel(adapted), { folder: dirname(folder.unetPath) });
}

async function openText({ part, normalise }: EarlierReading, adapters: Adapters, open: Open): Promise<Session> {
  const { path, role } = part.component;
  const network = role as TextRole;
  if (!adapters.concern(network) && normalise === null) return open(path);
  let graph = readModel(path);
  if (adapters.concern(network)) graph = adapters.apply(graph, network);
  if (normalise !== null) graph = normaliseEarlier(graph, part.hidden!, normalise);
  return open(encodeModel(graph), { folder: dirname(path) });
}

async function openDecoder(vae: VaePlan, open: Open): Promise<VaeDecoder> {
  const { decoder, scalingFactor: scale, shiftFactor: shift, scaleFactor: factor } = vae;
  return createVaeDecoder(await open(decoder.path), { scale, shift, factor });
}

async function openEncoder({ name, path, model }: ModelFolder, open: Open): Promise<VaeEncoder> {
  if (!model.vae) return identityEncoder;
  const { encoder, scalingFactor: scale, shiftFactor: shift, scaleFactor: factor } = model.vae;
  const { channels } = model.denoiser;
  if (encoder) return createVaeEncoder(await open(encoder.path), { scale, shift, factor, channels });
  throw new NorthlightError(
    'sampling/no-encoder',
    `${name} cannot start from a picture: there is no ${path}/vae_encoder.`,
    'Copy the folder vae_encoder of the same model beside vae_decoder, or export the model with it.',
  );
}

/**
 * The picture size asked for, or the model's own.
 * @throws {NorthlightError} `sampling/size`
 */
export function sizeOf(
  folder: ModelFolder,
  asked: { readonly width?: number | undefined; readonly height?: number | undefined },
): { width: number; height: number } {
  const { size } = folder.model;
  const width = asked.width ?? size.width;
  const height = asked.height ?? size.height;
  if (!size.free && (width !== size.width || height !== size.height)) {
    throw new NorthlightError(
      'sampling/size',
      `${folder.name} was exported for ${size.width}x${size.height} pictures, not ${width}x${height}.`,
      'Leave the size out, or export the model with free sizes.',
    );
  }
  if (width % size.multiple !== 0 || height % size.multiple !== 0) {
    const near = (n: number) => Math.max(1, Math.round(n / size.multiple)) * size.multiple;
    throw new NorthlightError(
      'sampling/size',
      `${folder.name} makes pictures whose sides are multiples of ${size.multiple}, not ${width}x${height}.`,
      `Use ${near(width)}x${near(height)}.`,
    );
  }
  return { width, height };
}

/** What the families work with: tensors, whose width the encoder's output had. */
function asTensors(texts: readonly PromptText[]): EncodedText[] {
  return texts.map(({ hidden, pooled, mask }) => ({
    hidden: hidden && f32([mask.length, hidden.length / mask.length], hidden),
    pooled: pooled && f32([pooled.length], pooled),
    mask: f32([mask.length], mask),
  }));
}
