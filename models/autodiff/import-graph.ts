import { NorthlightError } from '#models/errors.ts';
import { type GraphBuilder, type Value, WORKING_OPSET } from '#models/onnx/builder.ts';
import { isExternal, type Model, type Node } from '#models/onnx/ir.ts';
import { NodeAttributes, type OpDefinition } from '#models/ops/define.ts';
import { inferNode, operatorOf } from '#models/ops/index.ts';
import { constantValue, shapeRange } from '#models/ops/shape.ts';
import { i64, isFloat, numel, type Tensor } from '#models/tensor/tensor.ts';
import { narrowConv } from './narrow-conv.ts';
import { type Compute, declareWeight, enterAs, portType, widenModel } from './precision.ts';
import { upgradeNode } from './upgrade.ts';

/** What becomes of an initialiser: a weight as it is, a weight whose gradient is wanted, or a graph input to be fed. */
export type WeightRole = 'frozen' | 'opaque' | 'input';

export interface ImportOptions {
  /** Size of every graph input, or a value of the graph under construction to use in its place. */
  readonly inputs: Readonly<Record<string, readonly number[] | Value>>;
  /** Put before every name, so that several models fit into one graph. */
  readonly prefix?: string;
  readonly role?: (initializer: string) => WeightRole;
  /** What 16-bit floats are computed in; default float32 (precision.ts). */
  readonly compute?: Compute;
  /** Called in place of appending a node; returns its outputs, or null to append it as usual. */
  readonly rewrite?: (op: GraphBuilder, node: Node, inputs: readonly (Value | null)[]) => readonly Value[] | null;
}

export interface ImportedGraph {
  /** By the model's own names. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** Initialisers by the model's own names, in the form that is trained: float32 where 16 bits are stored. */
  readonly weights: ReadonlyMap<string, Value>;
  readonly inputs: ReadonlyMap<string, Value>;
}

/** Folding is for shape plumbing: nothing larger than this is computed in JavaScript. */
const FOLD_LIMIT = 4096;

/**
 * Copies a model into a graph under construction, ready for differentiation: sizes fixed, shape plumbing folded to
 * constants, old operator versions upgraded, normalisations written as LayerNormalization.
 * @throws {NorthlightError} for an input without a size, an unknown operator, or a shape that depends on data.
 */
export function importGraph(op: GraphBuilder, model: Model, options: ImportOptions): ImportedGraph {
  const compute = options.compute ?? 'float32';
  const { graph } = compute === 'float32' ? widenModel(model) : model;
  const opset = model.opsets.get('') ?? model.opsets.get('ai.onnx') ?? WORKING_OPSET;
  const prefix = options.prefix ?? '';
  const role = options.role ?? (() => 'frozen' as const);
  const env = new Map<string, Value>();
  const inputs = new Map<string, Value>();
  const weights = new Map<string, Value>();

  for (const info of graph.inputs) {
    if (graph.initializers.has(info.name)) continue;
    const given = options.inputs[info.name] ?? fixedDims(info.dims);
    if (!given) {
      throw new NorthlightError(
        'graph/no-size',
        `Input "${info.name}" has free sizes [${info.dims?.join(', ') ?? '?'}].`,
        `Give it a size: inputs: { '${info.name}': [...] }.`,
      );
    }
    const value = isValue(given) ? given : op.input(prefix + info.name, portType(info.dtype), given);
    env.set(info.name, enterAs(op, value, info.dtype));
    inputs.set(info.name, value);
  }
  for (const [name, init] of graph.initializers) {
    const { trained, used } = declareWeight(op, prefix + name, init, role(name), compute);
    env.set(name, used);
    weights.set(name, trained);
  }

  for (const node of graph.nodes) {
    const ins = node.inputs.map((n) => {
      if (n === '') return null;
      const v = env.get(n);
      if (!v)
        throw new NorthlightError(
          'onnx/dangling',
          `Node "${node.name}" (${node.opType}) reads "${n}", which nothing makes.`,
        );
      return v;
    });
    const upgraded = upgradeNode(op, node, ins, opset);
    const outs = Array.isArray(upgraded)
      ? upgraded
      : (fold(op, upgraded.node, upgraded.inputs) ??
        options.rewrite?.(op, upgraded.node, upgraded.inputs) ??
        place(op, upgraded.node, upgraded.inputs, prefix));
    node.outputs.forEach((name, i) => {
      if (name !== '' && outs[i]) env.set(name, outs[i]);
    });
  }
  const outputs = new Map(graph.outputs.map((o) => [o.name, env.get(o.name)!]));
  return { outputs, weights, inputs };
}

const isValue = (v: readonly number[] | Value): v is Value => !Array.isArray(v);

function fixedDims(dims: readonly (number | string | null)[] | null): number[] | null {
  return dims?.every((d): d is number => typeof d === 'number') ? [...(dims as number[])] : null;
}

/** The outputs of a node whose value is known now, or null. */
function fold(op: GraphBuilder, node: Node, inputs: readonly (Value | null)[]): Value[] | null {
  if (node.domain !== '' && node.domain !== 'ai.onnx') return null;
  const attrs = new NodeAttributes(node);
  switch (node.opType) {
    case 'Constant':
      return [op.constant(constantValue(node.attributes))];
    case 'Identity':
      return [inputs[0]!];
    case 'Dropout':
      // Inference: the identity, unless somebody reads the mask.
      return node.outputs.length === 1 ? [inputs[0]!] : null;
    case 'Shape': {
      const dims = inputs[0]!.dims;
      const range = shapeRange(dims.length, attrs.int('start', 0), attrs.has('end') ? attrs.int('end') : dims.length);
      return [op.i64(range.map((i) => dims[i]!))];
    }
    case 'Size':
      return [op.constant(i64([], [numel(inputs[0]!.dims)]))];
  }
  const definition = operatorOf(node);
  if (!definition.fold || inputs.length === 0) return null;
  const known: (Tensor | undefined)[] = [];
  for (const v of inputs) {
    const t = v ? op.constantOf(v.name) : undefined;
    if (v && !t) return null;
    if (t && t.data.length > FOLD_LIMIT) return null;
    known.push(t);
  }
  const renamed = { ...node, inputs: inputs.map((v) => v?.name ?? '') };
  const sizes = inferNode(
    renamed,
    inputs.map((v) => v ?? undefined),
    op.constantOf,
    WORKING_OPSET,
  );
  if (sizes.some((t) => numel(t.dims) > FOLD_LIMIT)) return null;
  try {
    return definition.fold(known, attrs).map((t) => op.constant(t));
  } catch (error) {
    if (error instanceof NorthlightError && error.code === 'onnx/fold') return null;
    throw error;
  }
}

function place(op: GraphBuilder, node: Node, inputs: readonly (Value | null)[], prefix: string): readonly Value[] {
  const definition = operatorOf(node);
  const hint = prefix + (node.name || node.opType);
  const narrow = op.scope(hint, () => narrowConv(op, node, inputs));
  if (narrow) return [narrow];
  if (definition.decompose) {
    return op.scope(hint, () => definition.decompose!(context(op, node, inputs)));
  }
  const names = outputNames(op, node, definition, prefix);
  const made = op.append({
    ...node,
    name: op.fresh(hint),
    inputs: inputs.map((v) => v?.name ?? ''),
    outputs: names,
    attributes: new Map(node.attributes),
  });
  return node.outputs.map((n, i) => (n === '' ? made[0]! : made[i]!));
}

function outputNames(op: GraphBuilder, node: Node, definition: OpDefinition, prefix: string): string[] {
  const wanted = Math.max(node.outputs.length, definition.gradOutputs ?? 0);
  return Array.from({ length: wanted }, (_, i) =>
    op.fresh(node.outputs[i] ? prefix + node.outputs[i] : `${prefix}${node.outputs[0]}.${i}`),
  );
}

function context(op: GraphBuilder, node: Node, inputs: readonly (Value | null)[]) {
  return {
    op,
    node,
    attrs: new NodeAttributes(node),
    inputs: inputs.map((v) => v ?? undefined),
    x: (i: number) => inputs[i]!,
    constant: (i: number) => (inputs[i] ? op.constantOf(inputs[i].name) : undefined),
  };
}

/** Names of the initialisers that can be trained: floating point, of rank one or more. */
export function trainableInitializers(model: Model): string[] {
  return [...model.graph.initializers]
    .filter(([, t]) => isFloat(t.dtype) && t.dims.length >= 1 && (isExternal(t) || t.data.length > 0))
    .map(([name]) => name);
}
