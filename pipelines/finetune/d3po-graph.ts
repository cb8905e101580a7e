import { fuseForward } from '#models/autodiff/grad.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import type { KernelSet } from '#models/autodiff/kernels.ts';
import { type Compute, portType } from '#models/autodiff/precision.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import type { DType } from '#models/tensor/tensor.ts';
import { type LossGraph, lossGraph, type MemoryMode } from '#models/training/training-graph.ts';
import { batchedTimestep } from './batched-timestep.ts';

/** An input of the denoiser besides sample and timestep. */
export interface ConditionPort {
  readonly name: string;
  readonly dtype: DType;
  /** Without the batch axis. */
  readonly dims: readonly number[];
  /** False: all rows share it. */
  readonly batched: boolean;
}

export interface NetworkPorts {
  readonly sample: string;
  readonly timestep: string;
  readonly output: string;
  readonly conditions: readonly ConditionPort[];
}

/** What one denoising step of the network is made of. */
export type StepOptions = Pick<
  D3poGraphOptions,
  'unet' | 'parameters' | 'dims' | 'ports' | 'guidanceScale' | 'kernels' | 'compute'
>;

export interface D3poGraphOptions {
  /** The denoiser with its adapter inserted. */
  readonly unet: Model;
  /** Adapter parameters: graph inputs, each with an output `grad/<name>`. */
  readonly parameters: readonly string[];
  /** Items per update; an item is one denoising step of one pair. */
  readonly items: number;
  /** Shape of one sample as the network sees it. */
  readonly dims: readonly number[];
  /** The network's inputs for sample and timestep, its output, and what else it reads. */
  readonly ports: NetworkPorts;
  /** null: the conditional branch alone. */
  readonly guidanceScale: number | null;
  readonly beta: number;
  readonly ratioClip: number | null;
  /** `ort` where the graph runs on the CPU. */
  readonly kernels: KernelSet;
  /** Default: every activation is kept. */
  readonly memory?: MemoryMode;
  /** What a model of 16-bit floats is computed in; `stored` gives the graph an input `loss_scale`. Default: float32. */
  readonly compute?: Compute;
}

/**
 * The D3PO loss of `items` (pair, step) items and its gradients. Yang et al. 2023 (arXiv:2311.13231), eq. 13, per step:
 * −log σ(β·log ρ_winner − β·log ρ_loser), with log ρ the MEAN over D of the log-ratio to the reference.
 *
 * Inputs (R = 2·items rows, winners first): `sample` x_t and `prev` x_{t−1} `[R, ...dims]`; `reference` (prev − μ_ref)/σ
 * `[R, ...dims]`; `timestep` `[R]`; `prompt/<name>` and, with guidance, `negative/<name>` `[R, …]` for each condition (without R where
 * all rows share it, then only `prompt/<name>`); `a`, `b`, `std` `[R, 1, 1, 1]`, the scalars of
 * `x_prev ~ N(a·x_t + b·modelOutput, std²)`; `weight` `[items]`, a factor on β per item. Outputs: `loss`; `logRatio` `[R]`; `kl` `[R]`, the mean over D of the exact
 * Gaussian KL of the step to the reference; in 16-bit arithmetic also `standardised` `[R, ...dims]`, (prev − μ)/σ.
 */
export function buildD3poGraph(options: D3poGraphOptions): LossGraph {
  const { items, dims } = options;
  const op = createBuilder();
  const rows = 2 * items;
  const reference = op.input('reference', 'float32', [rows, ...dims]);
  // The reference has the same with its own μ, so log ρ = mean(reference² − e²)/2.
  const { net, e } = standardised(op, options, rows);
  const shift = op.sub(e, reference);
  const axes = dims.map((_, i) => i + 1);
  const meanOverD = (v: Value) => op.reduceMean(v, axes, false);
  const logRatio = op.mulScalar(meanOverD(op.mul(shift, op.add2(e, reference))), -0.5);
  const kl = op.mulScalar(meanOverD(op.mul(shift, shift)), 0.5);
  const used = options.ratioClip === null ? logRatio : clipRatio(op, logRatio, options.ratioClip);
  const margin = op.mul(
    op.sub(op.slice(used, 0, 0, items), op.slice(used, 0, items, rows)),
    op.input('weight', 'float32', [items]),
  );
  const loss = op.reduceMeanAll(op.apply('Softplus', [op.mulScalar(margin, -options.beta)]));
  op.output(logRatio, 'logRatio');
  op.output(kl, 'kl');
  if (options.compute === 'stored') op.output(e, 'standardised');
  const wrt = options.parameters.map((name) => net.weights.get(name)!);
  return lossGraph(op, loss, wrt, {
    name: 'd3po',
    kernels: options.kernels,
    scaled: options.compute === 'stored',
    ...(options.memory ? { memory: options.memory } : {}),
    ...(options.unet.folder === undefined ? {} : { folder: options.unet.folder }),
  });
}

/**
 * (prev − μ)/σ of one row as {@link buildD3poGraph} computes it: inputs of the same names with R = 1, without `reference` and
 * `weight`; output `standardised` `[1, ...dims]`.
 */
export function buildStandardisedGraph(options: StepOptions): Model {
  const op = createBuilder();
  const { e } = standardised(op, options, 1);
  fuseForward(op, options.kernels);
  op.output(e, 'standardised');
  const model = op.toModel('d3po-step');
  if (options.unet.folder !== undefined) model.folder = options.unet.folder;
  return model;
}

/** e = (prev − μ)/σ of denoising steps, μ being what the network says. */
function standardised(op: GraphBuilder, options: StepOptions, rows: number) {
  const { dims, ports, guidanceScale } = options;
  const guided = guidanceScale !== null;
  const picture = (name: string) => op.input(name, 'float32', [rows, ...dims]);
  const scalar = (name: string) => op.input(name, 'float32', [rows, ...dims.map(() => 1)]);
  const sample = picture('sample');
  const prev = picture('prev');
  const declared = options.unet.graph.inputs.find((i) => i.name === ports.timestep)!;
  const timestep = op.input('timestep', portType(declared.dtype), [rows]);
  const twice = (v: Value) => (guided ? op.concat([v, v], 0) : v);
  const condition = ({ name, dtype, dims: own, batched }: ConditionPort): Value => {
    const input = (branch: string) => op.input(`${branch}/${name}`, portType(dtype), batched ? [rows, ...own] : own);
    return batched && guided ? op.concat([input('negative'), input('prompt')], 0) : input('prompt');
  };
  const trained = new Set(options.parameters);
  const times = batchedTimestep(op, declared, twice(timestep));
  const net = importGraph(op, options.unet, {
    inputs: {
      [ports.sample]: twice(sample),
      [ports.timestep]: times.given,
      ...Object.fromEntries(ports.conditions.map((c) => [c.name, condition(c)])),
    },
    role: (name) => (trained.has(name) ? 'input' : 'frozen'),
    ...(times.rewrite ? { rewrite: times.rewrite } : {}),
    ...(options.compute ? { compute: options.compute } : {}),
  });
  times.check();
  const all = net.outputs.get(ports.output)!;
  // A network that also predicts its variance gives it after the mean, channel by channel.
  const raw = all.dims[1] === dims[0]! ? all : op.slice(all, 1, 0, dims[0]!);
  const output = guided ? guide(op, raw, rows, guidanceScale) : raw;
  const mean = op.add2(op.mul(scalar('a'), sample), op.mul(scalar('b'), output));
  return { net, e: op.div(op.sub(prev, mean), scalar('std')) };
}

/** u + g·(c − u) of a batch holding the unconditional rows first. */
function guide(op: GraphBuilder, raw: Value, rows: number, scale: number): Value {
  const [u, c] = op.split(raw, 0, [rows, rows]) as [Value, Value];
  return op.add2(u, op.mulScalar(op.sub(c, u), scale));
}

/** log clamp(ρ, 1 − c, 1 + c), as the released code has it: no gradient once it saturates. */
function clipRatio(op: GraphBuilder, logRatio: Value, c: number): Value {
  return op.apply('Clip', [logRatio, op.scalar(Math.log1p(-c)), op.scalar(Math.log1p(c))]);
}
