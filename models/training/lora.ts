import { NorthlightError } from '#models/errors.ts';
import { DATA_TYPE, dtypeOf } from '#models/onnx/data-types.ts';
import { type Attribute, int, ints, type Model, type Node } from '#models/onnx/ir.ts';
import { allGraphs, consumers, producers } from '#models/onnx/traverse.ts';
import type { Rng } from '#models/tensor/rng.ts';
import { type DType, dimsEqual, f32, fromNumbers, isFloat, numel, type Tensor, zeros } from '#models/tensor/tensor.ts';
import { attentionProjections, type LayerContext, moduleName, withoutWrappers } from './lora-module-names.ts';
import { equalWeights } from './lora-weights.ts';

/** Size and strength of an adapter: W' = W + (alpha / rank) · up · down. Hu et al. 2021 (arXiv:2106.09685), eq. 3. */
export interface LoraScale {
  readonly rank: number;
  readonly alpha: number;
  /** Modules whose rank or alpha differs from the above, as in files with a rank of their own for convolutions. */
  readonly modules?: ReadonlyMap<string, { readonly rank: number; readonly alpha: number }>;
}

export interface LoraConfig extends LoraScale {
  /**
   * `attention`: projections of attention blocks (`attentionProjections`); `linear`: every linear layer and 1×1 convolution; `all`: every
   * convolution too; a pattern is a regular expression searched in module names.
   */
  readonly targets: 'attention' | 'linear' | 'all' | { readonly pattern: string };
}

/** A place an adapter can sit at: one node with a frozen weight. Nodes that share a weight share a module. */
export interface LoraTarget {
  /** Dotted module path, e.g. `down.0.attn.to_q`. */
  readonly module: string;
  readonly kind: 'linear' | 'conv';
  /** The node's name; for a node without a name, that of its output. */
  readonly node: string;
  /** The initialiser behind the node's second operand. */
  readonly weight: string;
  /** What the layer computes in; the initialiser may be stored in fewer bits. */
  readonly dtype: DType;
  /** Whether that initialiser has the outputs first, [out, in, …], or [in, out]. */
  readonly transposed: boolean;
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** Empty for a linear layer. */
  readonly kernel: readonly number[];
}

export interface LoraParameter {
  readonly name: string;
  readonly dims: readonly number[];
}

export interface InsertOptions {
  /** Parameters become weights (inference; or training, with their role set on import) or graph inputs. */
  readonly as?: 'initializers' | 'inputs';
  /** Multiplies the adapter: 0 switches it off, 1 is full strength. */
  readonly weight?: number;
  /** Put before every name made here, so that several adapters fit into one model. */
  readonly prefix?: string;
}

const OWN_WEIGHT = /\.lora_(down|up)\.weight$/;

/**
 * The nodes an adapter can sit at: MatMul, Gemm and FusedMatMul with a frozen matrix as second operand (also behind Transpose,
 * Identity, Cast and DequantizeLinear), MatMulNBits, and Conv of one group. Adapters already in the model are passed over.
 * Modules are called as other tools call them, without the wrappers a network was exported in.
 * @throws {NorthlightError} `lora/pattern` for a pattern that is no regular expression.
 */
export function findLoraTargets(model: Model, targets: LoraConfig['targets']): LoraTarget[] {
  const producer = producers(model.graph);
  const context: LayerContext = { users: consumers(model.graph), initializers: model.graph.initializers };
  const found: LoraTarget[] = [];
  for (const node of model.graph.nodes) {
    const layer = layerOf(node) && layerAt(model, node, producer);
    if (!layer || OWN_WEIGHT.test(layer.weight)) continue;
    found.push({ ...layer, module: moduleName(node, layer.weight, context), node: node.name || node.outputs[0]! });
  }
  const names = withoutWrappers(found.map((t) => t.module));
  const all = distinctModules(
    model,
    found.map((t, i) => ({ ...t, module: names[i]! })),
  );
  return all.filter(selector(targets, all));
}

function selector(targets: LoraConfig['targets'], all: readonly LoraTarget[]): (t: LoraTarget) => boolean {
  const pointwise = (t: LoraTarget) => t.kernel.every((k) => k === 1);
  switch (targets) {
    case 'attention': {
      const projections = attentionProjections(all.map((t) => t.module));
      return (t) => pointwise(t) && projections.has(t.module);
    }
    case 'linear':
      return pointwise;
    case 'all':
      return () => true;
  }
  let pattern: RegExp;
  try {
    pattern = new RegExp(targets.pattern);
  } catch (error) {
    throw new NorthlightError(
      'lora/pattern',
      `"${targets.pattern}" is not a pattern for module names: ${(error as Error).message}.`,
      'Write a regular expression such as attn1\\.to_[qkv]$.',
    );
  }
  return (t) => pattern.test(t.module);
}

type Layer = Omit<LoraTarget, 'module' | 'node'>;
type Producers = ReadonlyMap<string, Node>;

/** How a node is a layer y = x·W + b of its first two operands; undefined for every other node. */
function layerOf(node: Node): ((model: Model, node: Node, producer: Producers) => Layer | null) | undefined {
  const key = node.domain === '' || node.domain === 'ai.onnx' ? node.opType : `${node.domain}:${node.opType}`;
  return LAYERS[key];
}

const layerAt = (model: Model, node: Node, producer: Producers) => layerOf(node)!(model, node, producer);

const LAYERS: Readonly<Record<string, (model: Model, node: Node, producer: Producers) => Layer | null>> = {
  MatMul: (model, node, producer) => linearLayer(model, node, producer, false),
  Gemm: (model, node, producer) =>
    attribute(node, 'transA', 0) === 0 && attribute(node, 'alpha', 1) === 1
      ? linearLayer(model, node, producer, attribute(node, 'transB', 0) !== 0)
      : null,
  'com.microsoft:FusedMatMul': (model, node, producer) =>
    ['transA', 'transBatchA', 'transBatchB'].every((name) => attribute(node, name, 0) === 0) &&
    attribute(node, 'alpha', 1) === 1
      ? linearLayer(model, node, producer, attribute(node, 'transB', 0) !== 0)
      : null,
  'com.microsoft:MatMulNBits': (model, node) => {
    const scales = model.graph.initializers.get(node.inputs[2] ?? '');
    const weight = node.inputs[1]!;
    if (!scales || !isFloat(scales.dtype) || !model.graph.initializers.has(weight)) return null;
    const [inFeatures, outFeatures] = [attribute(node, 'K', 0), attribute(node, 'N', 0)];
    return { kind: 'linear', weight, dtype: scales.dtype, transposed: true, inFeatures, outFeatures, kernel: [] };
  },
  Conv: (model, node, producer) => {
    const operand = frozenOperand(model, node, producer);
    if (!operand || operand.flipped || operand.dims.length < 3 || attribute(node, 'group', 1) !== 1) return null;
    const { name: weight, dtype } = operand;
    const [outFeatures, inFeatures, ...kernel] = operand.dims as [number, number, ...number[]];
    return { kind: 'conv', weight, dtype, transposed: true, inFeatures, outFeatures, kernel };
  },
};

function linearLayer(model: Model, node: Node, producer: Producers, transB: boolean): Layer | null {
  const operand = frozenOperand(model, node, producer);
  if (operand?.dims.length !== 2) return null;
  const { name: weight, dtype } = operand;
  const transposed = operand.flipped !== transB;
  const [rows, columns] = operand.dims as readonly [number, number];
  const [inFeatures, outFeatures] = transposed ? [columns, rows] : [rows, columns];
  return { kind: 'linear', weight, dtype, transposed, inFeatures, outFeatures, kernel: [] };
}

/**
 * The initialiser that a node's second operand is, and the floating-point type it is multiplied in; possibly behind
 * Identity, Cast, DequantizeLinear and matrix Transpose.
 */
function frozenOperand(model: Model, node: Node, producer: Producers) {
  let name = node.inputs[1] ?? '';
  let flipped = false;
  let dtype: DType | undefined;
  for (;;) {
    const init = model.graph.initializers.get(name);
    if (init) {
      dtype ??= init.dtype;
      return isFloat(dtype) ? { name, dims: init.dims, dtype, flipped } : null;
    }
    const via = producer.get(name);
    if (via?.opType === 'Transpose') {
      const perm = via.attributes.get('perm');
      if (perm && !(perm.kind === 'ints' && dimsEqual(perm.value, [1, 0]))) return null;
      flipped = !flipped;
    } else if (via?.opType === 'Cast') {
      dtype ??= dtypeOf(attribute(via, 'to', 0));
    } else if (via?.opType === 'DequantizeLinear') {
      dtype ??= model.graph.initializers.get(via.inputs[1] ?? '')?.dtype;
      if (dtype === undefined) return null;
    } else if (via?.opType !== 'Identity') return null;
    name = via.inputs[0]!;
  }
}

function attribute(node: Node, name: string, otherwise: number): number {
  const a = node.attributes.get(name);
  return a?.kind === 'int' || a?.kind === 'float' ? a.value : otherwise;
}

/** Two calls of one module have equal weights and share an adapter; other modules of one name are told apart by number. */
function distinctModules(model: Model, targets: readonly LoraTarget[]): LoraTarget[] {
  const known = new Map<string, LoraTarget[]>();
  return targets.map((t) => {
    for (let i = 0; ; i++) {
      const module = i === 0 ? t.module : `${t.module}.${i}`;
      const first = known.get(module);
      if (first?.some((other) => sameWeight(model, t, other)) === false) continue;
      const named = { ...t, module };
      known.set(module, [...(first ?? []), named]);
      return named;
    }
  });
}

function sameWeight(model: Model, a: LoraTarget, b: LoraTarget): boolean {
  if (a.kind !== b.kind || a.inFeatures !== b.inFeatures || a.outFeatures !== b.outFeatures) return false;
  if (!dimsEqual(a.kernel, b.kernel)) return false;
  if (a.weight === b.weight) return true;
  return a.transposed === b.transposed && equalWeights(model, a.weight, b.weight);
}

/** Rank and alpha of one module. */
export function scaleOf(config: LoraScale, module: string): { readonly rank: number; readonly alpha: number } {
  const { rank, alpha } = config.modules?.get(module) ?? config;
  if (!Number.isInteger(rank) || rank < 1 || !Number.isFinite(alpha)) {
    throw new NorthlightError(
      'lora/rank',
      `An adapter cannot have rank ${rank} and alpha ${alpha}${module ? ` (at "${module}")` : ''}.`,
      'Use a whole rank of 1 or more, such as 4, and a finite alpha.',
    );
  }
  return { rank, alpha };
}

/** Names and shapes of a target's two matrices: down [r, in, kernel…], up [out, r, 1…]. */
export function loraParameters(target: LoraTarget, config: LoraScale): { down: LoraParameter; up: LoraParameter } {
  const { rank } = scaleOf(config, target.module);
  return {
    down: { name: `${target.module}.lora_down.weight`, dims: [rank, target.inFeatures, ...target.kernel] },
    up: { name: `${target.module}.lora_up.weight`, dims: [target.outFeatures, rank, ...target.kernel.map(() => 1)] },
  };
}

/**
 * A new adapter that changes nothing yet: up is zero, down is uniform on ±1/√fanIn (Kaiming with a = √5, as PEFT).
 * A module's numbers depend on the stream and on its name, not on the other targets.
 */
export function initLora(targets: readonly LoraTarget[], config: LoraScale, rng: Rng): Map<string, Tensor<'float32'>> {
  const parameters = new Map<string, Tensor<'float32'>>();
  for (const target of targets) {
    const { down, up } = loraParameters(target, config);
    if (parameters.has(down.name)) continue;
    const bound = 1 / Math.sqrt(numel(down.dims.slice(1)));
    const values = rng.fork('lora', target.module).fillUniform(new Float32Array(numel(down.dims)));
    for (let i = 0; i < values.length; i++) values[i] = (2 * values[i]! - 1) * bound;
    parameters.set(down.name, f32(down.dims, values));
    parameters.set(up.name, zeros('float32', up.dims));
  }
  return parameters;
}

/**
 * A new model in which every target computes y + (alpha / rank) · weight · up(down(x)). The scale multiplies the rank-r
 * value, the smallest one. Free sizes stay free. `parameters` go by the names of `loraParameters`, without the prefix.
 * @throws {NorthlightError} `lora/no-node`, `lora/missing`, `lora/shape`, `lora/duplicate`.
 */
export function insertLora(
  model: Model,
  targets: readonly LoraTarget[],
  config: LoraScale,
  parameters: ReadonlyMap<string, Tensor>,
  options: InsertOptions = {},
): Model {
  const prefix = options.prefix ?? '';
  const { graph } = model;
  const nodes: Node[] = [];
  const inputs = graph.inputs.slice();
  const initializers = new Map(graph.initializers);
  const fresh = freshNames(model);
  const byNode = targetsByNode(model, targets);
  const added = new Set<string>();

  const addWeight = (name: string, t: Tensor) => {
    initializers.set(name, t);
    // Before IR version 4 every weight was also a graph input.
    if (model.irVersion < 4) inputs.push({ name, dtype: t.dtype, dims: t.dims });
  };
  const addParameter = (wanted: LoraParameter): string => {
    const name = prefix + wanted.name;
    if (added.has(name)) return name;
    if (!fresh.take(name)) {
      throw new NorthlightError(
        'lora/duplicate',
        `The model already has a value named "${name}".`,
        'Give each adapter its own prefix.',
      );
    }
    added.add(name);
    const t = parameterOf(parameters, wanted);
    if (options.as === 'inputs') inputs.push({ name, dtype: t.dtype, dims: t.dims });
    else addWeight(name, t);
    return name;
  };

  for (const node of graph.nodes) {
    const target = byNode.get(node);
    if (!target) {
      nodes.push(node);
      continue;
    }
    const { rank, alpha } = scaleOf(config, target.module);
    const wanted = loraParameters(target, config);
    const { dtype } = target;
    const here = `${prefix}lora/${target.module}`;
    const output = node.outputs[0]!;
    const base = fresh.make(`${here}/base`);
    nodes.push({ ...node, name: target.node, outputs: [base, ...node.outputs.slice(1)] });
    const emit = (
      opType: string,
      what: string,
      ins: string[],
      attributes: [string, Attribute][] = [],
      out?: string,
    ) => {
      const name = fresh.make(`${here}/${what}`);
      nodes.push({
        opType,
        domain: '',
        name,
        inputs: ins,
        outputs: [out ?? name],
        attributes: new Map(attributes),
      });
      return out ?? name;
    };
    const matrix = (wantedParameter: LoraParameter, what: string) => {
      let name = addParameter(wantedParameter);
      if (parameterOf(parameters, wantedParameter).dtype !== dtype) {
        name = emit('Cast', `${what}_cast`, [name], [['to', int(DATA_TYPE[dtype])]]);
      }
      return target.kind === 'conv' ? name : emit('Transpose', `${what}_t`, [name], [['perm', ints([1, 0])]]);
    };
    const scale = fresh.make(`${here}/scale`);
    addWeight(scale, fromNumbers(dtype, [], [(alpha / rank) * (options.weight ?? 1)]));
    const op = target.kind === 'conv' ? 'Conv' : 'MatMul';
    const geometry = target.kind === 'conv' ? [...node.attributes] : [];
    const down = emit(op, 'down', [node.inputs[0]!, matrix(wanted.down, 'down')], geometry);
    const scaled = emit('Mul', 'scaled', [down, scale]);
    const up = emit(op, 'up', [scaled, matrix(wanted.up, 'up')]);
    emit('Add', 'sum', [base, up], [], output);
  }
  return { ...model, graph: { ...graph, nodes, inputs, initializers } };
}

/** A parameter of the shape the target needs. @throws {NorthlightError} `lora/missing`, `lora/shape` */
export function parameterOf(parameters: ReadonlyMap<string, Tensor>, wanted: LoraParameter): Tensor {
  const t = parameters.get(wanted.name);
  if (!t) {
    throw new NorthlightError(
      'lora/missing',
      `The adapter has no "${wanted.name}".`,
      'Use the targets the adapter was made for.',
    );
  }
  if (!dimsEqual(t.dims, wanted.dims) || !isFloat(t.dtype)) {
    throw new NorthlightError(
      'lora/shape',
      `"${wanted.name}" is ${t.dtype} [${t.dims.join(', ')}], but the model needs a float [${wanted.dims.join(', ')}].`,
      'The adapter was made for another model, or its rank is another one.',
    );
  }
  return t;
}

/** @throws {NorthlightError} `lora/no-node` for a target of another model. */
export function targetsByNode(model: Model, targets: readonly LoraTarget[]): Map<Node, LoraTarget> {
  const byName = new Map<string, Node>();
  for (const node of model.graph.nodes) byName.set(node.name || (node.outputs[0] ?? ''), node);
  const result = new Map<Node, LoraTarget>();
  for (const target of targets) {
    const node = byName.get(target.node);
    if (!node || !model.graph.initializers.has(target.weight)) {
      throw new NorthlightError(
        'lora/no-node',
        `The model has no node "${target.node}" with the weight "${target.weight}".`,
        'Find the targets in the same model that the adapter goes into.',
      );
    }
    result.set(node, target);
  }
  return result;
}

/** Every value and node name in use, and new ones. */
function freshNames(model: Model) {
  const used = new Set<string>();
  for (const graph of allGraphs(model.graph)) {
    for (const { name } of graph.inputs) used.add(name);
    for (const name of graph.initializers.keys()) used.add(name);
    for (const node of graph.nodes) {
      used.add(node.name);
      for (const name of node.outputs) used.add(name);
    }
  }
  const take = (name: string) => !used.has(name) && used.add(name) !== undefined;
  const make = (hint: string) => {
    let name = hint;
    for (let i = 1; !take(name); i++) name = `${hint}_${i}`;
    return name;
  };
  return { take, make };
}
