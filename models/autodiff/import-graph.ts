import { NorthlightError } from '#models/errors.ts';
import { type GraphBuilder, type Value, WORKING_OPSET } from '#models/onnx/builder.ts';
import { functionKey, type Graph, isExternal, type Model, type Node } from '#models/onnx/ir.ts';
import { NodeAttributes, normalizeAxis, type OpDefinition } from '#models/ops/define.ts';
import { inferNode, operatorOf } from '#models/ops/index.ts';
import { constantValue, shapeRange } from '#models/ops/shape.ts';
import { i64, isFloat, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { type Bound, type Inliner, inputsOf, lookUp, type Scope, tensorOf } from './import-scope.ts';
import { inlineIf } from './inline-branch.ts';
import { inlineFunction } from './inline-function.ts';
import { unrollLoop, unrollScan, unrollSequenceMap } from './inline-loop.ts';
import { inlineSequence } from './inline-sequence.ts';
import { narrowConv } from './narrow-conv.ts';
import { type Compute, declareWeight, enterAs, portType, widenModel } from './precision.ts';
import { understood } from './understood.ts';
import { noteUniform, shrinkUniform, type Uniforms } from './uniform.ts';
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

/** Nodes and iterations that copies of bodies (branches, loops, functions) may come to. */
const MAX_COPIES = 50_000;

/**
 * Copies a model into a graph under construction, ready for differentiation: sizes fixed, shape plumbing folded to
 * constants, branches, loops and the model's own functions written out, lists of tensors taken apart, old operator versions
 * upgraded, normalisations written as LayerNormalization.
 * @throws {NorthlightError} for an input without a size, an unknown operator, a shape that depends on data, and whatever
 *   else cannot be differentiated: `onnx/…` and `graph/…`.
 */
export function importGraph(op: GraphBuilder, model: Model, options: ImportOptions): ImportedGraph {
  const compute = options.compute ?? 'float32';
  const { graph } = compute === 'float32' ? widenModel(model) : model;
  const prefix = options.prefix ?? '';
  const role = options.role ?? (() => 'frozen' as const);
  const scope: Scope = { names: new Map(), outer: null, prefix, opsets: model.opsets, calls: 0 };
  const inputs = new Map<string, Value>();
  const weights = new Map<string, Value>();

  for (const info of graph.inputs) {
    if (graph.initializers.has(info.name)) continue;
    if (info.containers) {
      throw new NorthlightError(
        'graph/sequence',
        `Input "${info.name}" is of the kind ${info.containers.join(' of ')}, not a tensor.`,
        'Export the model with separate tensors in place of lists and optional values.',
      );
    }
    const given = options.inputs[info.name] ?? fixedDims(info.dims);
    if (!given) {
      throw new NorthlightError(
        'graph/no-size',
        `Input "${info.name}" has free sizes [${info.dims?.join(', ') ?? '?'}].`,
        `Give it a size: inputs: { '${info.name}': [...] }.`,
      );
    }
    const value = isValue(given) ? given : op.input(prefix + info.name, portType(info.dtype), given);
    scope.names.set(info.name, enterAs(op, value, info.dtype));
    inputs.set(info.name, value);
  }
  for (const [name, init] of graph.initializers) {
    const { trained, used } = declareWeight(op, prefix + name, init, role(name), compute);
    scope.names.set(name, used);
    weights.set(name, trained);
  }
  const importer = createImporter(op, model, compute, options.rewrite);
  importer.nodes(graph.nodes, scope);
  const outputs = new Map(
    graph.outputs.map((o) => {
      const reader = `The graph's output "${o.name}"`;
      return [o.name, tensorOf(lookUp(scope, o.name, reader), reader)];
    }),
  );
  return { outputs, weights, inputs };
}

function createImporter(op: GraphBuilder, model: Model, compute: Compute, rewrite: ImportOptions['rewrite']): Inliner {
  const uniforms: Uniforms = new Map();
  const declared = new Map<Graph, Map<string, Value>>();
  let spent = 0;

  /** The outputs of a node of the working opset: known, rewritten, or appended. */
  const emit = (node: Node, inputs: readonly (Value | null)[], prefix: string): readonly Value[] => {
    const folded = fold(op, node, inputs);
    if (folded) return folded;
    const small = shrinkUniform(op, uniforms, node, inputs);
    if (!Array.isArray(small)) return [small as Value];
    const outputs = rewrite?.(op, node, small) ?? place(op, node, small, prefix);
    noteUniform(op, uniforms, node, small, outputs);
    return outputs;
  };

  const importer: Inliner = {
    op,
    compute,
    functions: model.functions ?? new Map(),
    nodes(nodes, scope) {
      for (const node of nodes) {
        if (scope.outer || scope.calls > 0) importer.spend(node);
        const outs = understood(node, () => importNode(node, scope));
        node.outputs.forEach((name, i) => {
          if (name !== '' && outs[i]) scope.names.set(name, outs[i]);
        });
      }
    },
    apply(opType, inputs, attributes, outputs, name) {
      const names = Array.from({ length: outputs }, (_, i) => (i === 0 ? name : `${name}.${i}`));
      const node: Node = {
        opType,
        domain: '',
        name,
        inputs: inputs.map((v) => v?.name ?? ''),
        outputs: names,
        attributes: new Map(Object.entries(attributes)),
      };
      return [...emit(node, inputs, '')];
    },
    weights(graph, prefix) {
      let known = declared.get(graph);
      if (!known) {
        known = new Map();
        for (const [name, init] of graph.initializers) {
          known.set(name, op.initializer(op.fresh(prefix + name), init));
        }
        declared.set(graph, known);
      }
      return known;
    },
    spend(what) {
      if (++spent <= MAX_COPIES) return;
      throw new NorthlightError(
        'graph/too-long',
        `Written out, the loops and functions of the model have more than ${MAX_COPIES} nodes (at ${what.opType} "${what.name}").`,
        'Export the model with fewer iterations, or with loops written as tensor operations.',
      );
    },
  };

  const importNode = (node: Node, scope: Scope): readonly (Bound | undefined)[] => {
    const called = importer.functions.get(functionKey(node, node.opType));
    if (called) return inlineFunction(importer, scope, node, called);
    const special = node.domain === '' ? CONTROL_FLOW[node.opType] : undefined;
    const inlined = special?.(importer, scope, node) ?? inlineSequence(importer, scope, node);
    if (inlined) return inlined;
    const inputs = inputsOf(scope, node);
    if (node.opType === 'Identity' && node.domain === '') return [inputs[0]!];
    const reader = `${node.opType} "${node.name}"`;
    const tensors = inputs.map((b) => (b ? tensorOf(b, reader) : null));
    const upgraded = upgradeNode(op, node, tensors, scope.opsets.get('') ?? WORKING_OPSET);
    if (Array.isArray(upgraded)) return upgraded;
    return emit(upgraded.node, withSizes(op, upgraded.node, upgraded.inputs), scope.prefix);
  };
  return importer;
}

const CONTROL_FLOW: Readonly<Partial<Record<string, (to: Inliner, scope: Scope, node: Node) => Bound[]>>> = {
  If: inlineIf,
  Loop: unrollLoop,
  Scan: unrollScan,
  SequenceMap: unrollSequenceMap,
};

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
      // Inference: the identity, unless somebody reads the mask or asks for training.
      return node.outputs.length === 1 && !isTraining(op, inputs[2]) ? [inputs[0]!] : null;
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

/** The inputs of a Split into equal parts with the sizes written out, so that it can be folded. */
function withSizes(op: GraphBuilder, node: Node, inputs: readonly (Value | null)[]): readonly (Value | null)[] {
  const x = inputs[0];
  if (node.opType !== 'Split' || node.domain !== '' || inputs[1] || !x || !op.constantOf(x.name)) return inputs;
  const axis = normalizeAxis(new NodeAttributes(node).int('axis', 0), x.dims.length);
  const parts = inferNode(node, [x], op.constantOf, WORKING_OPSET);
  return [x, op.i64(parts.map((t) => t.dims[axis]!))];
}

/** Whether a flag is there and not known to be false. */
function isTraining(op: GraphBuilder, flag: Value | null | undefined): boolean {
  if (!flag) return false;
  const known = op.constantOf(flag.name);
  return !known || toNumbers(known)[0] !== 0;
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
