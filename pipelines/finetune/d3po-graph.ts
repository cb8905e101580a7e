import { importGraph } from '#models/autodiff/import-graph.ts';
import type { KernelSet } from '#models/autodiff/kernels.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { lossGraph } from '#models/training/training-graph.ts';

export interface D3poGraphOptions {
  /** The denoiser with its adapter inserted. */
  readonly unet: Model;
  /** Adapter parameters: graph inputs, each with an output `grad/<name>`. */
  readonly parameters: readonly string[];
  /** Items per update; an item is one denoising step of one pair. */
  readonly items: number;
  readonly dims: readonly number[];
  readonly contextDims: readonly number[] | null;
  /** 1: the conditional branch alone. */
  readonly guidanceScale: number;
  readonly beta: number;
  readonly ratioClip: number | null;
  /** `ort` where the graph runs on the CPU. */
  readonly kernels: KernelSet;
}

/**
 * The D3PO loss of `items` (pair, step) items and its gradients. Yang et al. 2023 (arXiv:2311.13231), eq. 13, per step:
 * −log σ(β·log ρ_winner − β·log ρ_loser), with log ρ the MEAN over D of the log-ratio to the reference.
 *
 * Inputs (R = 2·items rows, winners first): `sample` x_t and `prev` x_{t−1} `[R, ...dims]`; `reference` (prev − μ_ref)/σ
 * `[R, ...dims]`; `timestep` `[R]`; `prompt`, `negative` `[R, T, D]`; `a`, `b`, `std` `[R, 1, 1, 1]`, the scalars of
 * `x_prev ~ N(a·x_t + b·modelOutput, std²)`; `weight` `[items]`, a factor on β per item. Outputs: `loss`; `logRatio` `[R]`; `kl` `[R]`, the mean over D of the exact
 * Gaussian KL of the step to the reference.
 */
export function buildD3poGraph(options: D3poGraphOptions): Model {
  const { items, dims, contextDims } = options;
  const op = createBuilder();
  const rows = 2 * items;
  const guided = contextDims !== null && options.guidanceScale !== 1;
  const picture = (name: string) => op.input(name, 'float32', [rows, ...dims]);
  const scalar = (name: string) => op.input(name, 'float32', [rows, ...dims.map(() => 1)]);
  const sample = picture('sample');
  const prev = picture('prev');
  const reference = picture('reference');
  const timeType = options.unet.graph.inputs.find((i) => i.name === 'timestep')!.dtype;
  const timestep = op.input('timestep', timeType, [rows]);
  const twice = (v: Value) => (guided ? op.concat([v, v], 0) : v);
  const prompt = contextDims ? op.input('prompt', 'float32', [rows, ...contextDims]) : null;
  const context =
    prompt && guided ? op.concat([op.input('negative', 'float32', [rows, ...contextDims]), prompt], 0) : prompt;
  const trained = new Set(options.parameters);
  const net = importGraph(op, options.unet, {
    inputs: {
      sample: twice(sample),
      timestep: twice(timestep),
      ...(context ? { encoder_hidden_states: context } : {}),
    },
    role: (name) => (trained.has(name) ? 'input' : 'frozen'),
  });
  const raw = net.outputs.values().next().value!;
  const output = guided ? guide(op, raw, rows, options.guidanceScale) : raw;
  const mean = op.add2(op.mul(scalar('a'), sample), op.mul(scalar('b'), output));
  // e = (prev − μ)/σ; the reference has the same with its own μ, so log ρ = mean(reference² − e²)/2.
  const e = op.div(op.sub(prev, mean), scalar('std'));
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
  const wrt = options.parameters.map((name) => net.weights.get(name)!);
  return lossGraph(op, loss, wrt, { name: 'd3po', kernels: options.kernels }).model;
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
