import { importGraph } from '#models/autodiff/import-graph.ts';
import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { inOneFile } from '#models/onnx/external.ts';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession, type Session, type SessionOptions } from '#models/runtime/session.ts';
import { trainingSessionOptions } from '#models/runtime/training-options.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { type Estimate, estimateRun, type MachineRates } from '#models/training/estimate.ts';
import { type LossGraph, lossGraph, type MemoryMode } from '#models/training/training-graph.ts';
import type { GaussianSchedule } from '#pipelines/schedulers/types.ts';
import { notDifferentiable } from './reward-slope.ts';
import type { NetworkSlope } from './steering.ts';

/** What the network is given for one condition besides the sample. */
export interface NetworkFeeds {
  /** Rows of one sample: what to steer away from first where there is guidance; the last ones may fill up a fixed batch. */
  readonly rows: number;
  /** Guidance between the first two rows; null: the first row is the answer. */
  readonly guidanceScale: number | null;
  /** How many rows are asked about. */
  readonly asked: number;
  readonly feeds: Readonly<Record<string, Tensor>>;
}

/** A denoiser's graph, and how samples go through it. */
export interface SlopedNetwork<C> {
  /** With its adapters. */
  readonly network: Model;
  readonly sample: string;
  readonly output: string;
  /** Of one sample. */
  readonly dims: readonly number[];
  /** Whether it reads 2×2 patches of a latent as tokens. */
  readonly packed: boolean;
  feedsOf(condition: C, timestep: number): NetworkFeeds;
  /** Samples sent through the network. */
  readonly calls: { count: number };
}

/** What a derived graph may hold at once. A constant, because another form rounds otherwise and the same request must give the same bytes. */
const BUDGET_BYTES = 4 * 2 ** 30;

/** From fastest to smallest. */
const FORMS: readonly MemoryMode[] = [
  { kind: 'flat' },
  ...[2, 4, 8, 16].map((segments) => ({ kind: 'checkpoint', segments }) as const),
];

/** Only memory is estimated, which no rate has a part in. */
const NO_RATES: MachineRates = {
  productFlops: 1,
  convFlops: 1,
  memoryBytes: 1,
  cacheBytes: 1,
  softmaxElements: 1,
  nodeSeconds: 1,
};

/**
 * The gradient of a reward of the network's best guess by the noisy sample, through the network itself: reward, guidance and network are
 * one graph, differentiated by our own rules. A question costs one pass forward and one backward. One sample at a time.
 * @param reward `sample [1, …dims]` to `score []`.
 * @throws {NorthlightError} `decode/dynamic-threshold`; asking throws `decode/not-differentiable` and `decode/memory`.
 */
export function openNetworkSlope<C>(
  net: SlopedNetwork<C>,
  { clipSampleRange, dynamicThreshold }: Pick<GaussianSchedule, 'clipSampleRange' | 'dynamicThreshold'>,
  reward: Model,
  options: SessionOptions & { readonly budgetBytes?: number } = {},
): NetworkSlope<C> & { close(): Promise<void> } {
  if (dynamicThreshold !== null) {
    throw new NorthlightError(
      'decode/dynamic-threshold',
      'The sampler thresholds what the network predicts by its own quantiles, through which no gradient is taken.',
      'Use through=data, or a sampler without dynamic thresholding.',
    );
  }
  const { budgetBytes = BUDGET_BYTES, ...session } = options;
  /** By what the sizes of a graph follow from: prompts may have inputs of different lengths. */
  const opened = new Map<string, Promise<Session>>();
  const sessionFor = (fed: NetworkFeeds) => {
    const sizes = Object.fromEntries(Object.entries(fed.feeds).map(([name, t]) => [name, t.dims]));
    const key = JSON.stringify([fed.rows, fed.guidanceScale, sizes]);
    const known = opened.get(key);
    if (known) return known;
    const made = openFitting(
      (memory) => networkSlopeGraph({ net, fed, sizes, clip: clipSampleRange, reward, memory, ...session }),
      session,
      budgetBytes,
    );
    opened.set(key, made);
    return made;
  };
  return {
    async ask(sample, step, condition) {
      const fed = net.feedsOf(condition, step.timestep);
      const run = await sessionFor(fed);
      const scalars = { input_scale: step.inputScale, x0_sample: step.x0Sample, x0_output: step.x0Output };
      const given: Record<string, Tensor> = { x: f32([1, ...net.dims], sample) };
      for (const [name, v] of Object.entries(scalars)) given[name] = f32([], Float32Array.of(v));
      for (const [name, t] of Object.entries(fed.feeds)) given[`network/${name}`] = t;
      const said = await run.run(given, ['output', 'grad/x', 'grad/clean']);
      net.calls.count += fed.asked;
      const of = (name: string) => said[name]!.data as Float32Array;
      return { output: of('output'), bySample: of('grad/x'), byClean: of('grad/clean') };
    },
    async close() {
      for (const one of opened.values()) await (await one.catch(() => null))?.release();
      opened.clear();
    },
  };
}

/** The first form of a graph that fits. @throws {NorthlightError} `decode/memory` */
async function openFitting(
  build: (memory: MemoryMode) => LossGraph,
  session: SessionOptions,
  budgetBytes: number,
): Promise<Session> {
  let least: Estimate | undefined;
  for (const memory of FORMS) {
    const { model, types } = build(memory);
    const estimate = estimateRun(model, types, NO_RATES);
    if (least === undefined || estimate.activationBytes < least.activationBytes) least = estimate;
    if (estimate.activationBytes > budgetBytes) continue;
    const planned = trainingSessionOptions(
      {
        weightBytes: estimate.weightBytes,
        peakBytes: estimate.activationBytes,
        scoped: memory.kind === 'checkpoint',
        halfWeights: false,
      },
      budgetBytes,
    );
    const { folder } = model;
    return createSession(encodeModel(model), { ...planned, ...session, ...(folder === undefined ? {} : { folder }) });
  }
  const gb = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  throw new NorthlightError(
    'decode/memory',
    `The gradient through this network takes up to ${gb(least!.activationBytes)} GB of memory besides its weights, and ${gb(budgetBytes)} are allowed.`,
    'Make smaller pictures, or use through=data, which holds nothing of the network.',
  );
}

interface GraphOptions {
  readonly net: Omit<SlopedNetwork<never>, 'feedsOf' | 'calls'>;
  readonly fed: Pick<NetworkFeeds, 'rows' | 'guidanceScale'>;
  /** Of all inputs of the network besides the sample. */
  readonly sizes: Readonly<Record<string, readonly number[]>>;
  readonly clip: number | null;
  readonly reward: Model;
  readonly memory: MemoryMode;
  readonly provider?: SessionOptions['provider'];
}

/**
 * Inputs `x [1, …dims]`, the scalars `input_scale`, `x0_sample`, `x0_output` of a step, and `network/<name>` for all else that the network
 * reads. Outputs `loss`: r(x̂₀); `output [1, …dims]`: what the network says, guided; `grad/x`, and `grad/clean`: by x̂₀ before it is clipped.
 */
function networkSlopeGraph({ net, fed, sizes, clip, reward, memory, provider }: GraphOptions): LossGraph {
  const { dims, network, packed } = net;
  const op = createBuilder();
  const x = op.input('x', 'float32', [1, ...dims]);
  const scalar = (name: string) => op.input(name, 'float32', []);
  const seen = op.mul(x, scalar('input_scale'));
  const arranged = packed ? pack(op, seen) : seen;
  try {
    const { outputs } = importGraph(op, network, {
      inputs: { ...sizes, [net.sample]: op.expand(arranged, [fed.rows, ...arranged.dims.slice(1)]) },
      prefix: 'network/',
    });
    const said = guided(op, outputs.get(net.output)!, fed.guidanceScale);
    // A network that also predicts its variance gives it after the mean, channel by channel.
    const mean = !packed && said.dims[1] !== dims[0] ? op.slice(said, 1, 0, dims[0]!) : said;
    const output = packed ? unpack(op, mean, dims) : op.reshape(mean, [1, ...dims]);
    const scaled = op.mul(output, scalar('x0_output'));
    const clean = op.apply('Add', [op.mul(x, scalar('x0_sample')), scaled], {}, 'clean');
    const limited = clip === null ? clean : op.apply('Clip', [clean, op.scalar(-clip), op.scalar(clip)]);
    const score = importGraph(op, inOneFile(reward), { inputs: { sample: limited }, prefix: 'reward/' }).outputs.get(
      'score',
    )!;
    op.output(output, 'output');
    return lossGraph(op, score, [x, clean], {
      name: 'network-slope',
      kernels: (provider ?? 'cpu') === 'cpu' ? 'ort' : 'standard',
      memory,
      ...(network.folder === undefined ? {} : { folder: network.folder }),
    });
  } catch (cause) {
    if (!(cause instanceof NorthlightError)) throw cause;
    throw notDifferentiable(`cannot be followed through the network: ${cause.message}`, cause);
  }
}

/** u + g·(c − u) of the first two rows, or the first row; `[1, …]`. */
function guided(op: GraphBuilder, rows: Value, scale: number | null): Value {
  const row = (i: number) => (rows.dims[0] === 1 ? rows : op.slice(rows, 0, i, i + 1));
  if (scale === null) return row(0);
  return op.add2(row(0), op.mulScalar(op.sub(row(1), row(0)), scale));
}

/** As `packLatents`: `[1, C, H, W]` to `[1, H·W/4, 4·C]`. */
function pack(op: GraphBuilder, latent: Value): Value {
  const [, c, h, w] = latent.dims as [number, number, number, number];
  const patches = op.transpose(op.reshape(latent, [1, c, h / 2, 2, w / 2, 2]), [0, 2, 4, 1, 3, 5]);
  return op.reshape(patches, [1, (h * w) / 4, 4 * c]);
}

/** The inverse of {@link pack}. */
function unpack(op: GraphBuilder, tokens: Value, dims: readonly number[]): Value {
  const [c, h, w] = dims as readonly [number, number, number];
  const patches = op.transpose(op.reshape(tokens, [1, h / 2, w / 2, c, 2, 2]), [0, 3, 1, 4, 2, 5]);
  return op.reshape(patches, [1, numel(dims) / (h * w), h, w]);
}
