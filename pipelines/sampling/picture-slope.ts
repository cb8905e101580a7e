import { importGraph } from '#models/autodiff/import-graph.ts';
import { NorthlightError } from '#models/errors.ts';
import type { TextRole } from '#models/families/family.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Dim, Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { createBuilder } from '#models/ops/index.ts';
import { BYTES_PER_ELEMENT, numel, type Tensor } from '#models/tensor/tensor.ts';
import type { GaussianSchedule } from '#pipelines/schedulers/types.ts';
import { openAdapters } from './adapters.ts';
import { sameShapes, stackFor, timestepFor } from './feeds.ts';
import { type NetworkFeeds, openNetworkSlope } from './network-slope.ts';
import type { ImagePipeline, PromptCondition } from './pipeline.ts';
import { openSlope, type RewardSlope, rewardOfSample } from './reward-slope.ts';
import { LATENT_INPUTS, PICTURE_OUTPUTS, type VaeConstants } from './vae.ts';

/** A reward of pictures as a graph: `item [1, C, H, W]` in −1…1 to `score []`, higher is better. */
export type PictureRewardGraph = (picture: {
  readonly kind: 'image';
  readonly channels: 1 | 3;
  readonly width: number;
  readonly height: number;
}) => Model;

/**
 * What a gradient through an autoencoder may hold. A constant and not this machine's free memory: a picture looked at in another size
 * has another gradient, and the same request must give the same bytes.
 */
const BUDGET_BYTES = 4 * 2 ** 30;

/** By how much latents are averaged where their gradient would take too much memory. */
const SMALLER = [1, 2, 4];

/**
 * The gradient of a reward of pictures in the numbers of a sample, where samples are latents through their decoder.
 * @param dims of a sample.
 * @throws {NorthlightError} `decode/memory`, `decode/not-differentiable`, and what the reward refuses.
 */
export async function openPictureSlope(
  pipeline: Pick<ImagePipeline, 'model' | 'options'>,
  dims: readonly [number, number, number],
  reward: PictureRewardGraph,
): Promise<RewardSlope> {
  return openSlope(rewardOfNumbers(pipeline, dims, reward), sessionOf(pipeline));
}

/**
 * The same by a noisy sample, through the network with its guidance and adapters.
 * @throws {NorthlightError} `decode/dynamic-threshold`, `decode/memory`, and what the reward refuses; asking throws
 *   `decode/not-differentiable`, `decode/memory`, `decode/one-row`.
 */
export function openPictureNetworkSlope(
  pipeline: ImagePipeline,
  request: { readonly guidanceScale: number; readonly width: number; readonly height: number },
  schedule: GaussianSchedule,
  dims: readonly [number, number, number],
  reward: PictureRewardGraph,
): ReturnType<typeof openNetworkSlope<PromptCondition>> {
  const { folder, calls, model } = pipeline;
  const { guidanceScale, ...pixels } = request;
  const denoiser = pipeline.denoiser(guidanceScale, pixels);
  const plan = model.denoiser;
  const files = pipeline.options.adapters ?? [];
  const networks = model.text.map((part) => part.component.role as TextRole);
  const ports = new Map(plan.component.signature.inputs.map((port) => [port.name, port]));
  const batch = ports.get(plan.sample)!.dims[0];
  const timePort = ports.get(plan.timestep)!;
  const feedsOf = (condition: PromptCondition, timestep: number): NetworkFeeds => {
    const { prompt, negative } = denoiser.inputs(condition);
    if (negative !== null && (batch === 1 || !sameShapes(negative, prompt))) {
      throw new NorthlightError(
        'decode/one-row',
        `${plan.component.path} reads a prompt and what to steer away from one after the other, so guidance is not one graph to differentiate.`,
        'Use through=data, or a guidance scale of 1.',
      );
    }
    const branches = negative === null ? [prompt] : [negative, prompt];
    const rows = typeof batch === 'number' ? batch : branches.length;
    const feeds: Record<string, Tensor> = {
      [plan.timestep]: timestepFor(timePort, rows, timestep * plan.timestepScale),
    };
    for (const name of prompt.keys()) {
      const port = ports.get(name);
      if (port === undefined) continue;
      const parts = Array.from({ length: rows }, (_, r) => branches[Math.min(r, branches.length - 1)]!.get(name)!);
      feeds[name] = stackFor(port, parts);
    }
    return { rows, asked: branches.length, guidanceScale: negative === null ? null : guidanceScale, feeds };
  };
  const { sample, output, packed } = plan;
  const network = openAdapters(files, ['denoiser', ...networks]).apply(folder.unet, 'denoiser');
  return openNetworkSlope(
    { network, sample, output, packed, dims, feedsOf, calls },
    schedule,
    rewardOfNumbers(pipeline, dims, reward),
    sessionOf(pipeline),
  );
}

function sessionOf({ options: { provider, threads } }: Pick<ImagePipeline, 'options'>) {
  return { ...(provider ? { provider } : {}), ...(threads ? { threads } : {}) };
}

/** A reward of pictures as one of the numbers of a sample. */
function rewardOfNumbers(
  { model: { vae } }: Pick<ImagePipeline, 'model'>,
  dims: readonly [number, number, number],
  reward: PictureRewardGraph,
): Model {
  if (!vae) {
    return rewardOfSample(
      dims,
      (_, sample) => sample,
      (item) => reward(shapeOf(item)),
    );
  }
  const constants = { scale: vae.scalingFactor, shift: vae.shiftFactor, factor: vae.scaleFactor };
  return rewardOfLatents(readModel(vae.decoder.path), constants, dims, reward);
}

/**
 * A reward of pictures as one of latents. Where the picture in full size would take too much memory, the reward looks at a smaller one,
 * decoded from averaged latents.
 */
export function rewardOfLatents(
  decoder: Model,
  constants: VaeConstants,
  dims: readonly [number, number, number],
  reward: PictureRewardGraph,
  budgetBytes = BUDGET_BYTES,
): Model {
  const input = decoder.graph.inputs.find((i) => LATENT_INPUTS.includes(i.name)) ?? decoder.graph.inputs[0]!;
  const [, , h, w] = input.dims ?? [];
  const [, height, width] = dims;
  const fits = (side: number, declared: Dim | undefined, by: number) =>
    side % by === 0 && (typeof declared !== 'number' || declared <= 0 || declared === side / by);
  const possible = SMALLER.filter((by) => fits(height, h, by) && fits(width, w, by));
  let least = 0;
  for (const by of possible) {
    least = heldBytes(decoder, input.name, constants, dims, by);
    if (least > budgetBytes) continue;
    const model = rewardOfSample(
      dims,
      (op, sample) => decoded(op, sample, decoder, input.name, constants, by),
      (item) => reward(shapeOf(item)),
    );
    return decoder.folder === undefined ? model : { ...model, folder: decoder.folder };
  }
  if (possible.length === 0) {
    throw new NorthlightError(
      'vae/size',
      `The decoder was exported for latents of ${w}x${h} and these are ${width}x${height}, so the reward has no gradient through it.`,
      'Make pictures of its size, or decode by svdd-pm.',
    );
  }
  throw new NorthlightError(
    'decode/memory',
    `The gradient through the decoder of this model takes up to ${(least / 2 ** 30).toFixed(1)} GB of memory, and ${(budgetBytes / 2 ** 30).toFixed(1)} are allowed.`,
    'Make smaller pictures, or decode by svdd-pm, which needs no gradient.',
  );
}

/** A latent as a picture `[1, 3, H, W]` in −1…1, `by` times smaller along each side. */
function decoded(
  op: GraphBuilder,
  latent: Value,
  decoder: Model,
  input: string,
  { scale, shift }: VaeConstants,
  by: number,
): Value {
  const own = op.addScalar(op.mulScalar(latent, 1 / scale), shift);
  const size = { kernel_shape: [by, by], strides: [by, by] };
  const { outputs } = importGraph(op, decoder, {
    inputs: { [input]: by === 1 ? own : op.apply('AveragePool', [own], size) },
    prefix: 'decoder/',
  });
  return PICTURE_OUTPUTS.map((name) => outputs.get(name)).find(Boolean) ?? [...outputs.values()][0]!;
}

/** Bytes of all that decoding makes on the way: what a backward pass would read again, at most. */
function heldBytes(
  decoder: Model,
  input: string,
  constants: VaeConstants,
  dims: readonly number[],
  by: number,
): number {
  const op = createBuilder();
  decoded(op, op.input('sample', 'float32', [1, ...dims]), decoder, input, constants, by);
  const made = new Set(op.nodes.flatMap((node) => node.outputs));
  return [...op.values.values()]
    .filter(({ name }) => made.has(name))
    .reduce((sum, v) => sum + numel(v.dims) * BYTES_PER_ELEMENT[v.dtype], 0);
}

function shapeOf(picture: Value) {
  const [, channels, height, width] = picture.dims as [number, 1 | 3, number, number];
  return { kind: 'image', channels, height, width } as const;
}
