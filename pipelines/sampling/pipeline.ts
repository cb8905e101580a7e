import { dirname } from 'node:path';
import { loadTokenizer, type ModelFolder, openModelFolder } from '#models/families/index.ts';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session, type SessionOptions } from '#models/runtime/session.ts';
import { f32, i64, numel, type Tensor } from '#models/tensor/tensor.ts';
import { insertLora, type LoraScale, type LoraTarget } from '#models/training/lora.ts';
import { readLoraFile } from '#models/training/lora-file.ts';
import { parseSchedulerConfig, type SchedulerConfig } from '#pipelines/schedulers/index.ts';
import type { Denoiser } from './denoiser.ts';
import { combine } from './guidance.ts';

/** A prompt ready for the network: its encoding and that of what to steer away from, each `[T·D]`. */
export interface PromptCondition {
  readonly prompt: Float32Array;
  readonly negative: Float32Array;
}

export interface AdapterFile {
  readonly path: string;
  readonly weight: number;
}

/** An adapter in training: its numbers are fed at every call, so that changes show at once. */
export interface LiveAdapter {
  readonly targets: readonly LoraTarget[];
  readonly scale: LoraScale;
  readonly parameters: ReadonlyMap<string, Tensor>;
}

export interface PipelineOptions extends Pick<SessionOptions, 'provider' | 'threads'> {
  readonly adapters?: readonly AdapterFile[];
  readonly live?: LiveAdapter;
}

/** A loaded image model. Close it to free its sessions. */
export interface ImagePipeline {
  readonly folder: ModelFolder;
  readonly scheduler: SchedulerConfig;
  /** Shape of one sample, `[C, H, W]`. */
  readonly dims: readonly [number, number, number];
  /** Encodings of prompts; each text is encoded once and remembered. */
  encode(texts: readonly string[], negative: string): Promise<PromptCondition[]>;
  denoiser(guidanceScale: number): Denoiser<PromptCondition>;
  /** Samples sent through the network so far; guidance counts two. */
  readonly calls: { count: number };
  close(): Promise<void>;
}

/** @throws {NorthlightError} of the model folder, the runtime, or an adapter that does not belong to the model. */
export async function loadPipeline(directory: string, options: PipelineOptions = {}): Promise<ImagePipeline> {
  const folder = openModelFolder(directory);
  const scheduler = parseSchedulerConfig(folder.schedulerConfig, `${folder.path}/scheduler/scheduler_config.json`);
  const session = {
    ...(options.provider ? { provider: options.provider } : {}),
    ...(options.threads ? { threads: options.threads } : {}),
  };
  let adapted = applyAdapters(folder.unet, options.adapters ?? []);
  const { live } = options;
  if (live) adapted = insertLora(adapted, live.targets, live.scale, live.parameters, { as: 'inputs' });
  const unet =
    adapted === folder.unet
      ? await createSession(folder.unetPath, session)
      : await createSession(encodeModel(adapted), { ...session, folder: dirname(folder.unetPath) });
  const text = folder.textEncoderPath ? await createSession(folder.textEncoderPath, session) : null;
  const encoder = text ? createTextEncoder(folder, text) : async () => new Float32Array(0);
  const calls = { count: 0 };
  return {
    folder,
    scheduler,
    dims: folder.dims,
    calls,
    async encode(texts, negative) {
      const uncond = await encoder(negative);
      const out: PromptCondition[] = [];
      for (const t of texts) out.push({ prompt: await encoder(t), negative: uncond });
      return out;
    },
    denoiser: (guidanceScale) => createDenoiser(folder, unet, guidanceScale, calls, live?.parameters),
    async close() {
      await unet.release();
      await text?.release();
    },
  };
}

/** The model with every adapter file inserted, in order. @throws {NorthlightError} `lora/…` */
export function applyAdapters(unet: Model, adapters: readonly AdapterFile[]): Model {
  let model = unet;
  adapters.forEach(({ path, weight }, i) => {
    const file = readLoraFile(path, unet);
    model = insertLora(model, file.targets, file.config, file.parameters, { weight, prefix: `adapter${i}.` });
  });
  return model;
}

function createTextEncoder(folder: ModelFolder, session: Session): (text: string) => Promise<Float32Array> {
  const [tokens] = folder.contextDims!;
  const tokenizer = loadTokenizer(folder.tokenizerPath!, tokens);
  const known = new Map<string, Float32Array>();
  return async (text) => {
    const cached = known.get(text);
    if (cached) return cached;
    // One prompt at a time: the encoding of a text never depends on its neighbours.
    const out = await session.run({ input_ids: i64([1, tokens], tokenizer.encode(text)) });
    const hidden = (out.last_hidden_state ?? Object.values(out)[0]!).data as Float32Array;
    known.set(text, hidden);
    return hidden;
  };
}

/**
 * Each sample goes through the network alone (with its guidance twin): kernels choose their summation order by matrix size,
 * so only a fixed size gives a sample the same bytes in any batch. On two cores a larger batch gains nothing.
 */
function createDenoiser(
  folder: ModelFolder,
  session: Session,
  guidanceScale: number,
  calls: { count: number },
  live?: ReadonlyMap<string, Tensor>,
): Denoiser<PromptCondition> {
  const dims = folder.dims;
  const size = numel(dims);
  const guided = folder.contextDims !== null && guidanceScale !== 1;
  const rows = guided ? 2 : 1;
  const sample = new Float32Array(rows * size);
  const contextSize = folder.contextDims ? numel(folder.contextDims) : 0;
  const context = new Float32Array(rows * contextSize);
  const scalarTime = session.inputs.find((p) => p.name === 'timestep')!;
  const output = session.outputs[0]!.name;
  const timeTensor = (t: number): Tensor => {
    const shape = scalarTime.dims.length === 0 ? [] : [rows];
    const values = new Array<number>(shape.length === 0 ? 1 : rows).fill(t);
    return scalarTime.dtype === 'float32' ? f32(shape, values) : i64(shape, values.map(Math.round));
  };
  return {
    dims,
    async predict(samples, timestep, conditions) {
      const out = new Float32Array(samples.length);
      for (const [row, condition] of conditions.entries()) {
        const x = samples.subarray(row * size, (row + 1) * size);
        for (let r = 0; r < rows; r++) sample.set(x, r * size);
        const feeds: Record<string, Tensor> = {
          sample: f32([rows, ...dims], sample),
          timestep: timeTensor(timestep),
          ...Object.fromEntries(live ?? []),
        };
        if (folder.contextDims) {
          if (guided) context.set(condition.negative, 0);
          context.set(condition.prompt, guided ? contextSize : 0);
          feeds.encoder_hidden_states = f32([rows, ...folder.contextDims], context);
        }
        const y = (await session.run(feeds, [output]))[output]!.data as Float32Array;
        calls.count += rows;
        out.set(guided ? combine(y.subarray(0, size), y.subarray(size), guidanceScale) : y, row * size);
      }
      return out;
    },
  };
}
