import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { DATA_TYPE, dtypeOf } from '#models/onnx/data-types.ts';
import {
  type Attribute,
  type Graph,
  type Initializer,
  int,
  isExternal,
  type Model,
  type Node,
  tensorAttribute,
  type ValueInfo,
} from '#models/onnx/ir.ts';
import { isHalf, toFloat32 } from '#models/tensor/half.ts';
import { type DType, isFloat, numel } from '#models/tensor/tensor.ts';

/**
 * What a model of 16-bit floats is computed in. `float32`: weights stay as they are stored and a Cast widens each of them;
 * everything else, the graph's inputs and outputs included, is float32. `stored`: the model's own types; float16 only.
 * Trained weights are float32 in both (master copies; Micikevicius et al. 2018, arXiv:1710.03740, sec. 3.1).
 */
export type Compute = 'float32' | 'stored';

/** Attributes that name an element type. */
const TYPE_ATTRIBUTES = new Set(['to', 'dtype', 'output_dtype', 'output_datatype', 'stash_type', 'softmax_precision']);

/**
 * The model with its own 16-bit float types read as float32: casts, constants, declared types, subgraphs. Initialisers of
 * the main graph are untouched: {@link declareWeight} widens them.
 */
export function widenModel(model: Model): Model {
  return { ...model, graph: widenGraph(model.graph) };
}

function widenGraph(graph: Graph): Graph {
  return {
    ...graph,
    nodes: graph.nodes.map(widenNode),
    inputs: graph.inputs.map(widenInfo),
    outputs: graph.outputs.map(widenInfo),
    valueInfo: new Map([...graph.valueInfo].map(([name, info]) => [name, widenInfo(info)])),
  };
}

const widenInfo = (info: ValueInfo): ValueInfo => (isHalf(info.dtype) ? { ...info, dtype: 'float32' } : info);

/** A node as {@link widenModel} says it; the node itself where nothing changes. */
export function widenNode(node: Node): Node {
  let attributes: Map<string, Attribute> | undefined;
  for (const [name, a] of node.attributes) {
    const wide = widenAttribute(name, a);
    if (wide === a) continue;
    attributes ??= new Map(node.attributes);
    attributes.set(name, wide);
  }
  return attributes ? { ...node, attributes } : node;
}

function widenAttribute(name: string, a: Attribute): Attribute {
  if (a.kind === 'tensor') return isHalf(a.value.dtype) ? tensorAttribute(toFloat32(a.value)) : a;
  if (a.kind === 'graph') return { kind: 'graph', value: widenSubgraph(a.value) };
  if (a.kind !== 'int' || !TYPE_ATTRIBUTES.has(name)) return a;
  const dtype = dtypeOf(a.value);
  return dtype && isHalf(dtype) ? int(DATA_TYPE.float32) : a;
}

/** A branch or loop body: its 16-bit weights are widened by a Cast of their own. */
function widenSubgraph(graph: Graph): Graph {
  const initializers = new Map<string, Initializer>();
  const casts: Node[] = [];
  for (const [name, init] of graph.initializers) {
    if (!isHalf(init.dtype)) {
      initializers.set(name, init);
      continue;
    }
    initializers.set(`${name}/stored`, init);
    const attributes = new Map([['to', int(DATA_TYPE.float32)]]);
    casts.push({ opType: 'Cast', domain: '', name, inputs: [`${name}/stored`], outputs: [name], attributes });
  }
  const wide = widenGraph(graph);
  return { ...wide, nodes: [...casts, ...wide.nodes], initializers };
}

/** Weights up to this size become float32 constants at once, so that rules may look at them (the scale of a norm). */
const SMALL = 4096;

export interface DeclaredWeight {
  /** What is trained or differentiated; float32 for a 16-bit weight. */
  readonly trained: Value;
  /** What the nodes of the model read. */
  readonly used: Value;
}

/** Puts an initialiser into a graph: as it is stored, or as an input to be fed. */
export function declareWeight(
  op: GraphBuilder,
  name: string,
  init: Initializer,
  role: 'frozen' | 'opaque' | 'input',
  compute: Compute,
): DeclaredWeight {
  if (!isHalf(init.dtype)) {
    const value = role === 'input' ? op.input(name, init.dtype, init.dims) : op.initializer(name, init);
    if (role === 'opaque') op.opaque.add(value.name);
    return { trained: value, used: value };
  }
  if (role === 'frozen') {
    const small = !isExternal(init) && numel(init.dims) <= SMALL;
    if (compute === 'float32' && small) {
      const value = op.initializer(name, toFloat32(init));
      return { trained: value, used: value };
    }
    const stored = op.initializer(name, init);
    const used = compute === 'float32' ? op.cast(stored, 'float32') : stored;
    return { trained: used, used };
  }
  let master: Value;
  if (role === 'input') master = op.input(name, 'float32', init.dims);
  else {
    const stored = op.initializer(name, init);
    op.opaque.add(stored.name);
    master = op.cast(stored, 'float32');
  }
  return { trained: master, used: compute === 'float32' ? master : op.cast(master, init.dtype) };
}

/** The element type of a graph input: the runtime's Node binding takes no bfloat16 from outside. */
export const portType = (dtype: DType): DType => (dtype === 'bfloat16' ? 'float32' : dtype);

/** A value given for a graph input, in the floating-point type that the model's nodes expect there. */
export function enterAs(op: GraphBuilder, value: Value, dtype: DType): Value {
  return isFloat(value.dtype) && isFloat(dtype) ? op.cast(value, dtype) : value;
}
