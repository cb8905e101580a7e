import { productFlops } from '#models/autodiff/flops.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { type GraphInspection, inspectGraph, type SourceReport } from '#models/autodiff/inspect.ts';
import { type PlainError, toPlainError } from '#models/errors.ts';
import { type Dim, isExternal, type Model, type ValueInfo } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { BYTES_PER_ELEMENT, isFloat, numel, type Tensor, zeros } from '#models/tensor/tensor.ts';
import { estimateRun, type MachineRates } from '#models/training/estimate.ts';
import { findLoraTargets, insertLora, type LoraTarget, loraParameters } from '#models/training/lora.ts';
import { peakBytes } from '#models/training/plan.ts';
import { lossGraph, type MemoryMode } from '#models/training/training-graph.ts';

export interface Port {
  readonly name: string;
  readonly dtype: string;
  readonly dims: readonly Dim[];
}

/** A layer that can carry an adapter. */
export interface AdapterPlace extends Omit<LoraTarget, 'dtype'> {
  readonly dtype: string;
  /** The narrowest choice of `targets` that takes it. */
  readonly group: 'attention' | 'linear' | 'all';
  /** Whether its gradient can be had. */
  readonly trainable: boolean;
}

/** One training step of an adapter, the model's own weights frozen. */
export interface AdapterStep {
  readonly rank: number;
  readonly targets: 'attention' | 'linear' | 'all';
  readonly modules: number;
  readonly parameters: number;
  readonly nodes: number;
  readonly flops: number;
  /** Forms of the step, from the fastest to the smallest: memory of the whole process, and time on this machine's CPU. */
  readonly forms: readonly {
    readonly segments: number | null;
    readonly peakBytes: number;
    readonly activationBytes: number;
    readonly seconds: number | null;
  }[];
}

export interface GraphReport extends Omit<GraphInspection, 'operators' | 'inputs'> {
  readonly irVersion: number;
  readonly producer: string;
  readonly opsets: Readonly<Record<string, number>>;
  readonly nodes: number;
  readonly parameters: number;
  readonly weightBytes: number;
  /** Bytes of weights in files beside the model. */
  readonly externalBytes: number;
  readonly inputs: readonly (Port & Partial<Pick<SourceReport, 'state' | 'outputs' | 'at'>>)[];
  readonly outputs: readonly Port[];
  readonly operators: readonly { opType: string; count: number; gradient: 'rule' | 'none' | 'missing'; how: string }[];
  /** Operators that refuse a gradient or are not known. */
  readonly missing: readonly string[];
  readonly adapters: readonly AdapterPlace[];
  /** What one training step of an adapter on the narrowest sensible choice of layers takes; null when it cannot be built. */
  readonly adapterStep: AdapterStep | null;
}

/** Everything that can be said of a graph without running it. Weights in files beside it are not read. */
export function reportGraph(
  model: Model,
  options: {
    readonly inputs?: Readonly<Record<string, readonly number[]>>;
    readonly rank?: number;
    readonly rates?: MachineRates;
  } = {},
): GraphReport {
  const { graph } = model;
  const inspection = inspectGraph(model, options.inputs);
  const states = new Map(inspection.weights.map((w) => [w.name, w.state]));
  const inputs = new Map(inspection.inputs.map((i) => [i.name, i]));
  const adapters = adapterPlaces(model, states);
  let parameters = 0;
  let weightBytes = 0;
  let externalBytes = 0;
  for (const init of graph.initializers.values()) {
    const bytes = isExternal(init) ? init.external.length : numel(init.dims) * (BYTES_PER_ELEMENT[init.dtype] ?? 0);
    parameters += numel(init.dims);
    weightBytes += bytes;
    if (isExternal(init)) externalBytes += bytes;
  }
  const operators = inspection.operators.map(({ operator, count, gradient }) => ({
    opType: operator,
    count,
    gradient: MEANING[gradient],
    how: gradient,
  }));
  let adapterStep: AdapterStep | null = null;
  let failure: PlainError | null = inspection.failure;
  if (inspection.forward) {
    try {
      adapterStep = stepOf(model, adapters, inspection.sizes, options.rank ?? 8, options.rates);
    } catch (error) {
      failure ??= toPlainError(error);
    }
  }
  return {
    irVersion: model.irVersion,
    producer: model.producerName,
    opsets: Object.fromEntries([...model.opsets].map(([domain, v]) => [domain === '' ? 'ai.onnx' : domain, v])),
    nodes: graph.nodes.length,
    parameters,
    weightBytes,
    externalBytes,
    outputs: graph.outputs.map(portOf),
    ...inspection,
    inputs: graph.inputs
      .filter((i) => !graph.initializers.has(i.name))
      .map((i) => {
        const source = inputs.get(i.name);
        return { ...portOf(i), ...(source && { state: source.state, outputs: source.outputs, at: source.at }) };
      }),
    operators,
    missing: operators.filter((o) => o.gradient === 'missing').map((o) => o.opType),
    adapters,
    adapterStep,
    failure,
  };
}

const MEANING = {
  rule: 'rule',
  decomposed: 'rule',
  'written out': 'rule',
  'none flows': 'none',
  refused: 'missing',
  unknown: 'missing',
} as const;

const portOf = ({ name, dtype, dims }: ValueInfo): Port => ({ name, dtype, dims: dims ?? [] });

function adapterPlaces(model: Model, states: ReadonlyMap<string, string>): AdapterPlace[] {
  const modules = (targets: 'attention' | 'linear') => new Set(findLoraTargets(model, targets).map((t) => t.module));
  const [attention, linear] = [modules('attention'), modules('linear')];
  return findLoraTargets(model, 'all').map((target) => ({
    ...target,
    group: attention.has(target.module) ? 'attention' : linear.has(target.module) ? 'linear' : 'all',
    trainable: (states.get(target.weight) ?? 'yes') === 'yes',
  }));
}

/** Without rates only memory is estimated. */
const NO_RATES: MachineRates = {
  productFlops: Infinity,
  convFlops: Infinity,
  memoryBytes: Infinity,
  cacheBytes: Infinity,
  softmaxElements: Infinity,
  nodeSeconds: 0,
};

/** A training step: forward pass and gradients of an adapter, the model's weights frozen. */
function stepOf(
  model: Model,
  places: readonly AdapterPlace[],
  sizes: GraphInspection['sizes'],
  rank: number,
  rates: MachineRates | undefined,
): AdapterStep | null {
  const trainable = places.filter((p) => p.trainable);
  const targets = (['attention', 'linear', 'all'] as const).find((group) => trainable.some((p) => p.group === group));
  if (targets === undefined) return null;
  const allowed = { attention: ['attention'], linear: ['attention', 'linear'], all: ['attention', 'linear', 'all'] };
  const names = new Set(trainable.filter((p) => allowed[targets].includes(p.group)).map((p) => p.module));
  const chosen = findLoraTargets(model, 'all').filter((t) => names.has(t.module));
  const scale = { rank, alpha: rank };
  const parameters = new Map<string, Tensor>();
  for (const target of chosen) {
    for (const { name, dims } of Object.values(loraParameters(target, scale)))
      parameters.set(name, zeros('float32', dims));
  }
  const build = (memory: MemoryMode) => {
    const op = createBuilder();
    const net = importGraph(op, insertLora(model, chosen, scale, parameters), {
      inputs: Object.fromEntries(sizes.map((s) => [s.input, s.dims])),
      role: (name) => (parameters.has(name) ? 'input' : 'frozen'),
    });
    const outputs = [...net.outputs.values()].filter((v) => isFloat(v.dtype));
    const losses = outputs.map((v) => op.reduceMeanAll(op.mul(v, v)));
    const loss = losses.reduce((sum, l) => op.add2(sum, l));
    const trained = [...parameters.keys()].map((name) => net.weights.get(name)!);
    return lossGraph(op, loss, trained, { name: 'step', memory, kernels: 'ort' });
  };
  const modes: readonly MemoryMode[] = [{ kind: 'flat' }, { kind: 'checkpoint', segments: 16, keepAbove: Infinity }];
  const built = modes.map((memory) => ({ memory, ...build(memory) }));
  const flat = built[0]!;
  return {
    rank,
    targets,
    modules: names.size,
    parameters: [...parameters.values()].reduce((sum, t) => sum + numel(t.dims), 0),
    nodes: flat.model.graph.nodes.length,
    flops: flat.model.graph.nodes.reduce((sum, n) => sum + productFlops(n, (name) => flat.types.get(name)), 0),
    forms: built.map(({ memory, model: graph, types }) => {
      const estimate = estimateRun(graph, types, rates ?? NO_RATES);
      return {
        segments: memory.kind === 'flat' ? null : memory.segments,
        peakBytes: peakBytes(estimate),
        activationBytes: estimate.activationBytes,
        seconds: rates ? estimate.seconds : null,
      };
    }),
  };
}
