import { DATA_TYPE, dtypeOf } from '#models/onnx/data-types.ts';
import { type Attribute, int, isExternal, type Model, type Node, tensorAttribute } from '#models/onnx/ir.ts';
import { type HalfType, toFloat32, toHalf } from '#models/tensor/half.ts';
import type { DType, Tensor } from '#models/tensor/tensor.ts';

/** Rounded to a number that float16 and bfloat16 both have, as `short` in build/fixtures/export.py. */
export function short(t: Tensor): Tensor {
  if (t.dtype !== 'float32') return t;
  return toFloat32(toHalf(toFloat32(toHalf(t, 'bfloat16')), 'float16'));
}

/** Inputs that the standard wants in float32 whatever the data's type is. */
const FLOAT32_SLOTS: Readonly<Record<string, readonly number[]>> = { Resize: [1, 2], Upsample: [1] };

const OUTPUT_TYPES: Readonly<Record<string, DType>> = {
  ...Object.fromEntries(['Shape', 'Size', 'ArgMax', 'ArgMin', 'NonZero'].map((op) => [op, 'int64'])),
  ...Object.fromEntries(
    ['Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual', 'And', 'Or', 'Not'].map((op) => [op, 'bool']),
  ),
};

/**
 * A float32 model turned into one of 16-bit floats, as converters for inference do it: weights (rounded with {@link short}),
 * constants and all arithmetic, but for the sines of a time embedding and what leads to them, which 11 bits cannot hold.
 * @param ports whether floating graph inputs and outputs become 16-bit too or keep float32 with a Cast behind them.
 */
export function toHalfModel(model: Model, dtype: HalfType, ports: 'half' | 'float32'): Model {
  const { graph } = model;
  const kept = upstreamOf(graph.nodes, (n) => n.opType === 'Sin' || n.opType === 'Cos');
  const producers = new Map(graph.nodes.flatMap((n) => n.outputs.map((o) => [o, n] as const)));
  for (const node of graph.nodes) {
    for (const i of FLOAT32_SLOTS[node.opType] ?? []) {
      const producer = producers.get(node.inputs[i] ?? '');
      if (producer?.opType === 'Constant') kept.add(producer);
    }
  }
  const types = new Map<string, DType>();
  const initializers = new Map(graph.initializers);
  for (const [name, t] of graph.initializers) {
    if (isExternal(t)) throw new Error('A fixture has no external weights.');
    const slot = graph.nodes.some((n) => FLOAT32_SLOTS[n.opType]?.some((i) => n.inputs[i] === name));
    const stored = t.dtype === 'float32' && !slot ? toHalf(short(t), dtype) : t;
    initializers.set(name, stored);
    types.set(name, stored.dtype);
  }
  const portType = (t: DType): DType => (t === 'float32' && ports === 'half' ? dtype : t);
  for (const i of graph.inputs) types.set(i.name, portType(i.dtype));

  const nodes: Node[] = [];
  const casts = new Map<string, string>();
  const read = (name: string, wanted: DType): string => {
    const has = types.get(name);
    if (name === '' || has === wanted || (has !== 'float32' && has !== dtype)) return name;
    const key = `${name}/${wanted}`;
    if (!casts.has(key)) {
      casts.set(key, key);
      nodes.push(castNode(name, key, wanted));
      types.set(key, wanted);
    }
    return key;
  };
  for (const node of graph.nodes) {
    const own: DType = kept.has(node) ? 'float32' : dtype;
    const inputs = node.inputs.map((name, i) =>
      read(name, FLOAT32_SLOTS[node.opType]?.includes(i) ? 'float32' : node.opType === 'Cast' ? types.get(name)! : own),
    );
    const attributes = new Map(
      [...node.attributes].map(([k, a]) => [k, own === dtype ? narrowed(k, a, dtype) : a] as const),
    );
    nodes.push({ ...node, inputs, attributes });
    const type = outputType({ ...node, attributes }, inputs, types);
    for (const o of node.outputs) types.set(o, type);
  }
  const outputs = graph.outputs.map((o) => {
    const wanted = portType(o.dtype);
    if (types.get(o.name) === wanted) return { ...o, dtype: wanted };
    // The value keeps its name as an output; inside it goes by another.
    const inner = `${o.name}/inner`;
    nodes.forEach((n, i) => {
      const swap = (names: string[]) => names.map((x) => (x === o.name ? inner : x));
      nodes[i] = { ...n, inputs: swap(n.inputs), outputs: swap(n.outputs) };
    });
    nodes.push(castNode(inner, o.name, wanted));
    return { ...o, dtype: wanted };
  });
  const inputs = graph.inputs.map((i) => ({ ...i, dtype: portType(i.dtype) }));
  return { ...model, graph: { ...graph, nodes, inputs, outputs, initializers, valueInfo: new Map() } };
}

function castNode(input: string, output: string, to: DType): Node {
  const attributes = new Map([['to', int(DATA_TYPE[to])]]);
  return { opType: 'Cast', domain: '', name: output, inputs: [input], outputs: [output], attributes };
}

function narrowed(name: string, a: Attribute, dtype: HalfType): Attribute {
  if (a.kind === 'tensor' && a.value.dtype === 'float32') return tensorAttribute(toHalf(a.value, dtype));
  return a.kind === 'int' && name === 'to' && a.value === DATA_TYPE.float32 ? int(DATA_TYPE[dtype]) : a;
}

function outputType(node: Node, inputs: readonly string[], types: ReadonlyMap<string, DType>): DType {
  const fixed = OUTPUT_TYPES[node.opType];
  if (fixed) return fixed;
  const to = node.attributes.get('to');
  if (node.opType === 'Cast' && to?.kind === 'int') return dtypeOf(to.value)!;
  const value = node.attributes.get('value');
  if (value?.kind === 'tensor') return value.value.dtype;
  if (node.opType === 'ConstantOfShape') return 'float32';
  return types.get(inputs[node.opType === 'Where' ? 1 : 0]!)!;
}

function upstreamOf(nodes: readonly Node[], goal: (node: Node) => boolean): Set<Node> {
  const found = new Set<Node>();
  const wanted = new Set<string>();
  for (const node of nodes.toReversed()) {
    if (!goal(node) && !node.outputs.some((o) => wanted.has(o))) continue;
    found.add(node);
    for (const name of node.inputs) wanted.add(name);
  }
  return found;
}
