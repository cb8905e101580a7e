import { NorthlightError } from '#models/errors.ts';
import type { Branch, Feeds, ImageModel, PictureRequest } from '#models/families/family.ts';
import { latentDims } from '#models/families/model-folder.ts';
import { packLatents, unpackLatents } from '#models/families/pack.ts';
import type { Session } from '#models/runtime/session.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import type { Denoiser } from './denoiser.ts';
import { outputNumbers, sameShapes, stackFor, timestepFor, toPort } from './feeds.ts';
import { combine, needsNegative } from './guidance.ts';

/** A prompt ready for the network: the inputs made of it and of what to steer away from. */
export interface PromptCondition {
  readonly prompt: Feeds;
  readonly negative: Feeds;
  /** The end of each text for which there was no room; empty when all was read. */
  readonly unread?: { readonly prompt: string; readonly negative: string };
}

export interface DenoiserRequest extends PictureRequest {
  /** `[n, H, W]`: channels after those of the sample, for networks that read them (inpainting: mask, masked latent). */
  readonly extraChannels?: Float32Array;
}

/** A denoiser that also says what its network is given. */
export interface NetworkDenoiser extends Denoiser<PromptCondition> {
  /** Shape of one sample as the network sees it: `[C, H, W]`, or `[H·W/4, 4·C]` where it reads patches. */
  readonly networkDims: readonly number[];
  /** All inputs of a condition besides sample and timestep; `negative` is null where one branch is enough. */
  inputs(condition: PromptCondition): { readonly prompt: Feeds; readonly negative: Feeds | null };
  /** A sample in the order of `networkDims`. */
  arrange(sample: Float32Array): Float32Array;
}

/** Rows that go through the network together, with all they take besides sample and timestep. */
interface Group {
  /** Rows whose outputs are wanted; the rest fill up what the export fixed. */
  readonly count: number;
  readonly rows: number;
  readonly feeds: Readonly<Record<string, Tensor>>;
}

/** How a sample of one condition goes through the network. */
interface Plan {
  readonly guided: boolean;
  readonly runs: readonly Group[];
}

export interface NetworkDenoiserOptions {
  readonly model: ImageModel;
  readonly session: Session;
  readonly request: DenoiserRequest;
  readonly calls: { count: number };
  /** Further inputs of the graph, fed as they are: an adapter in training. */
  readonly live?: ReadonlyMap<string, Tensor> | undefined;
}

/**
 * Each sample goes through the network alone (with its guidance twin): kernels choose their summation order by matrix size,
 * so only a fixed size gives a sample the same bytes in any batch. On two cores a larger batch gains nothing.
 * @throws {NorthlightError} `model/extra-channels`
 */
export function createNetworkDenoiser(options: NetworkDenoiserOptions): NetworkDenoiser {
  const { model, session, request, calls } = options;
  const plan = model.denoiser;
  const dims = latentDims(model, request);
  const [channels, height, width] = dims;
  const ports = new Map(plan.component.signature.inputs.map((p) => [p.name, p]));
  const samplePort = ports.get(plan.sample)!;
  const timePort = ports.get(plan.timestep)!;
  const batch = samplePort.dims[0];
  const extra = extraChannelsOf(plan.extraChannels * height * width, plan.component.path, request.extraChannels);
  const networkDims = plan.packed ? [(height * width) / 4, 4 * channels] : dims;
  const rowDims = plan.packed ? networkDims : [channels + plan.extraChannels, height, width];
  const constants = { prompt: model.constants(request, 'prompt'), negative: model.constants(request, 'negative') };
  const size = numel(dims);
  const arrange = (x: Float32Array) => (plan.packed ? packLatents(x, dims) : x);

  /** Samples as the network reads them, by number of rows: used again once a run is over. */
  const free = new Map<number, Float32Array>();

  /** What goes through the network in one run with a sample. */
  const groupOf = (inputs: readonly Feeds[]): Group => {
    const rows = typeof batch === 'number' ? batch : inputs.length;
    const all = Array.from({ length: rows }, (_, r) => inputs[Math.min(r, inputs.length - 1)]!);
    const feeds: Record<string, Tensor> = {};
    for (const name of inputs[0]!.keys()) {
      const port = ports.get(name);
      if (port)
        feeds[name] = stackFor(
          port,
          all.map((one) => one.get(name)!),
        );
    }
    return { count: inputs.length, rows, feeds };
  };

  /** The groups of a condition are the same at every step. */
  const groups = new WeakMap<PromptCondition, Plan>();
  const planOf = (condition: PromptCondition): Plan => {
    let known = groups.get(condition);
    if (known === undefined) {
      const { prompt, negative } = denoiser.inputs(condition);
      const branches = negative ? [negative, prompt] : [prompt];
      // Texts of different lengths, or an export of one sample at a time, take a run each.
      const together = negative === null || (batch !== 1 && sameShapes(negative, prompt));
      known = { guided: negative !== null, runs: (together ? [branches] : branches.map((b) => [b])).map(groupOf) };
      groups.set(condition, known);
    }
    return known;
  };

  const run = async (x: Float32Array, timestep: number, { count, rows, feeds }: Group): Promise<Float32Array[]> => {
    const sample = free.get(rows) ?? new Float32Array(rows * numel(rowDims));
    free.delete(rows);
    for (let r = 0; r < rows; r++) {
      sample.set(x, r * numel(rowDims));
      sample.set(extra, r * numel(rowDims) + size);
    }
    const given = await session.run(
      {
        ...feeds,
        ...Object.fromEntries(options.live ?? []),
        [plan.sample]: toPort(samplePort.dtype, f32([rows, ...rowDims], sample)),
        [plan.timestep]: timestepFor(timePort, rows, timestep * plan.timestepScale),
      },
      [plan.output],
    );
    free.set(rows, sample);
    const y = outputNumbers(given[plan.output]!);
    calls.count += count;
    // A network that also predicts its variance gives it after the mean, channel by channel.
    const each = y.length / rows;
    if (!(each >= size)) throw wrongSize(plan.component.path, plan.output, each, size);
    return Array.from({ length: count }, (_, r) => y.subarray(r * each, r * each + size));
  };

  const denoiser: NetworkDenoiser = {
    dims,
    networkDims,
    arrange,
    inputs(condition) {
      const of = (branch: Branch) => new Map([...condition[branch], ...constants[branch]]);
      return {
        prompt: of('prompt'),
        negative: needsNegative(model.guidance, request.guidanceScale) ? of('negative') : null,
      };
    },
    async predict(samples, timestep, conditions, out = new Float32Array(samples.length)) {
      for (const [row, condition] of conditions.entries()) {
        const x = arrange(samples.subarray(row * size, (row + 1) * size));
        const { guided, runs } = planOf(condition);
        const y: Float32Array[] = [];
        for (const group of runs) y.push(...(await run(x, timestep, group)));
        const own = out.subarray(row * size, (row + 1) * size);
        const said = guided ? combine(y[0]!, y[1]!, request.guidanceScale, own) : y[0]!;
        if (plan.packed) own.set(unpackLatents(said, dims));
        else if (said !== own) own.set(said);
      }
      return out;
    },
  };
  return denoiser;
}

/** What an inpainting network reads besides the sample. @throws {NorthlightError} `model/extra-channels` */
function extraChannelsOf(wanted: number, path: string, given: Float32Array | undefined): Float32Array {
  const extra = given ?? new Float32Array(0);
  if (extra.length === wanted) return extra;
  throw new NorthlightError(
    'model/extra-channels',
    given === undefined
      ? `${path} reads a mask and a masked picture besides the sample: it is a model for inpainting.`
      : `${path} was given ${extra.length} numbers for its mask and masked picture; it needs ${wanted}.`,
    given === undefined ? 'Give it a picture and a mask, or choose the plain model.' : 'Use the size of the picture.',
  );
}

function wrongSize(path: string, output: string, given: number, wanted: number): NorthlightError {
  return new NorthlightError(
    'sampling/shape',
    `${path} gave ${given} numbers as "${output}" for a sample of ${wanted}.`,
    'Its output must have the shape of its input; inspect the model.',
  );
}
