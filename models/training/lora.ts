import { NorthlightError } from '#models/errors.ts';
import { DATA_TYPE } from '#models/onnx/data-types.ts';
import { inlineFunctions } from '#models/onnx/inline-functions.ts';
import { int, ints, type Model, type Node } from '#models/onnx/ir.ts';
import { allGraphs, consumers, producers } from '#models/onnx/traverse.ts';
import type { Rng } from '#models/tensor/rng.ts';
import { dimsEqual, f32, fromNumbers, isFloat, numel, type Tensor, zeros } from '#models/tensor/tensor.ts';
import { attach, type Emit } from './lora-attach.ts';
import { type Layer, layerAt } from './lora-layers.ts';
import { attentionProjections, type LayerContext, moduleName, withoutWrappers } from './lora-module-names.ts';
import { type Packed, type PackedPart, packedAt, partsOf } from './lora-packed.ts';
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
export interface LoraTarget extends Layer {
  /** Dotted module path, e.g. `down.0.attn.to_q`. */
  readonly module: string;
  /** The node's name; for a node without a name, that of its output. */
  readonly node: string;
  /** The modules that a runtime packed into this one; files have an adapter for each. */
  readonly parts?: readonly PackedPart[];
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
 * The nodes an adapter can sit at: products with a frozen matrix as second operand (also behind Transpose, Identity, Cast and
 * DequantizeLinear), MatMulNBits, convolutions of one group, the same with an activation fused into them, and attention that
 * holds its projections; also inside the model's own functions. Adapters already in the model are passed over.
 * Modules are called as other tools call them, without the wrappers a network was exported in.
 * @throws {NorthlightError} `lora/pattern` for a pattern that is no regular expression.
 */
export function findLoraTargets(asStored: Model, targets: LoraConfig['targets']): LoraTarget[] {
  const model = inlineFunctions(asStored);
  const producer = producers(model.graph);
  const context: LayerContext = { users: consumers(model.graph), initializers: model.graph.initializers };
  const found: LoraTarget[] = [];
  const packs = new Map<string, Packed>();
  for (const node of model.graph.nodes) {
    const layer = layerAt(model, node, producer);
    if (!layer || OWN_WEIGHT.test(layer.weight)) continue;
    const id = node.name || node.outputs[0]!;
    const packed = packedAt(node, layer, context.users);
    if (packed) packs.set(id, packed);
    found.push({ ...layer, module: packed?.module ?? moduleName(node, layer.weight, context), node: id });
  }
  const names = withoutWrappers(found.map((t) => t.module));
  const all = distinctModules(
    model,
    found.map((t, i) => ({ ...t, module: names[i]! })),
  ).map((t) => {
    const packed = packs.get(t.node);
    const parts = packed ? partsOf(packed, t.module) : [];
    return parts.length > 0 ? { ...t, parts } : t;
  });
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
 * value, the smallest one. Free sizes stay free; calls of the model's own functions are written
 * out. `parameters` go by the names of `loraParameters`, without the prefix.
 * @throws {NorthlightError} `lora/no-node`, `lora/missing`, `lora/shape`, `lora/duplicate`.
 */
export function insertLora(
  asStored: Model,
  targets: readonly LoraTarget[],
  config: LoraScale,
  parameters: ReadonlyMap<string, Tensor>,
  options: InsertOptions = {},
): Model {
  const model = inlineFunctions(asStored);
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
    const { dtype, kind } = target;
    const here = `${prefix}lora/${target.module}`;
    const emit: Emit = (opType, what, ins, { attributes = new Map(), domain = '', out } = {}) => {
      const name = fresh.make(`${here}/${what}`);
      nodes.push({
        opType,
        domain,
        name,
        inputs: [...ins],
        outputs: [out ?? name],
        attributes: new Map(attributes),
      });
      return out ?? name;
    };
    const matrix = (wantedParameter: LoraParameter, what: string) => {
      let name = addParameter(wantedParameter);
      if (parameterOf(parameters, wantedParameter).dtype !== dtype) {
        name = emit('Cast', `${what}_cast`, [name], { attributes: new Map([['to', int(DATA_TYPE[dtype])]]) });
      }
      if (kind === 'conv') return name;
      return emit('Transpose', `${what}_t`, [name], { attributes: new Map([['perm', ints([1, 0])]]) });
    };
    const scalar = (value: number) => {
      const name = fresh.make(`${here}/scale`);
      addWeight(name, fromNumbers(dtype, [], [value]));
      return name;
    };
    attach(
      {
        node,
        target,
        down: () => matrix(wanted.down, 'down'),
        up: () => matrix(wanted.up, 'up'),
        scalar,
        emit,
        push: (changed) => nodes.push({ ...changed, name: target.node }),
        base: () => fresh.make(`${here}/base`),
      },
      (alpha / rank) * (options.weight ?? 1),
    );
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
