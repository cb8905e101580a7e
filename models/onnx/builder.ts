import { NorthlightError } from '#models/errors.ts';
import { DATA_TYPE } from '#models/onnx/data-types.ts';
import type { Attribute, Initializer, Model, Node, ValueInfo } from '#models/onnx/ir.ts';
import { int, ints, isExternal, str } from '#models/onnx/ir.ts';
import { isHalf } from '#models/tensor/half.ts';
import { type DType, f32, fromNumbers, i64, type Tensor } from '#models/tensor/tensor.ts';

/** A typed edge of a graph under construction; every size is known. */
export interface Value {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly number[];
}

export interface TypedShape {
  readonly dtype: DType;
  readonly dims: readonly number[];
}

/** Gives the types of a node's outputs. Supplied by `models/ops`, so that the builder knows no operator. */
export type InferNode = (
  node: Node,
  inputs: readonly (Value | undefined)[],
  constant: (name: string) => Tensor | undefined,
  opset: number,
) => readonly TypedShape[];

/** The opset that every graph we build or differentiate is in. Older models are upgraded to it on import. */
export const WORKING_OPSET = 21;
export const IR_VERSION = 10;

const attribute = (value: number | boolean | string | readonly number[] | Attribute): Attribute => {
  if (typeof value === 'number') return int(value);
  if (typeof value === 'boolean') return int(value ? 1 : 0);
  if (typeof value === 'string') return str(value);
  return Array.isArray(value) ? ints(value) : (value as Attribute);
};

/**
 * Operators that add up many numbers: in 16 bits small addends are lost and 65504 is soon passed, so the sums we make
 * ourselves are taken in float32 and rounded once.
 */
const SUMS = new Set(
  'ReduceSum ReduceMean ReduceSumSquare ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp CumSum ScatterND ScatterElements'.split(
    ' ',
  ),
);

type Attributes = Record<string, number | boolean | string | readonly number[] | Attribute | undefined>;

/**
 * Builds an ONNX graph as expressions. Each call appends one node and returns its output with its type, as the operator's
 * own shape rule gives it, so a wrong shape fails where it is written.
 */
export class GraphBuilder {
  readonly nodes: Node[] = [];
  readonly inputs: Value[] = [];
  readonly outputs: Value[] = [];
  readonly initializers = new Map<string, Initializer>();
  /** Every named value. */
  readonly values = new Map<string, Value>();
  /** Weights whose value no rule may look at, because their gradient is wanted. */
  readonly opaque = new Set<string>();
  private readonly constantNames = new Map<string, string>();
  private readonly used = new Set<string>();
  private readonly reserved = new Set<string>();
  private readonly nodeNames = new Set<string>();
  private readonly infer: InferNode;
  private counter = 0;
  private scopes: string[] = [];

  constructor(infer: InferNode) {
    this.infer = infer;
  }

  /** Names made inside `body` start with `name/`. */
  scope<T>(name: string, body: () => T): T {
    this.scopes.push(name);
    try {
      return body();
    } finally {
      this.scopes.pop();
    }
  }

  path(name: string): string {
    return [...this.scopes, name].join('/');
  }

  /** A name no value has yet. */
  fresh(hint: string): string {
    const base = this.path(hint);
    let name = base;
    while (this.used.has(name) || this.reserved.has(name)) name = `${base}_${this.counter++}`;
    return name;
  }

  /** Keeps a name for an output that is declared later: `fresh` does not give it out. */
  reserve(name: string): void {
    this.reserved.add(name);
  }

  private add(value: Value): Value {
    if (this.used.has(value.name)) {
      throw new NorthlightError('graph/duplicate', `The graph already has a value named "${value.name}".`);
    }
    this.used.add(value.name);
    this.values.set(value.name, value);
    return value;
  }

  value(name: string): Value {
    const v = this.values.get(name);
    if (!v) throw new NorthlightError('graph/no-value', `The graph has no value named "${name}".`);
    return v;
  }

  input(name: string, dtype: DType, dims: readonly number[]): Value {
    const v = this.add({ name, dtype, dims });
    this.inputs.push(v);
    return v;
  }

  /** A named weight. */
  initializer(name: string, tensor: Initializer): Value {
    this.initializers.set(name, tensor);
    return this.add({ name, dtype: tensor.dtype, dims: tensor.dims });
  }

  /** An unnamed constant; equal small constants are shared. */
  constant(tensor: Tensor): Value {
    const key =
      tensor.data.length <= 64
        ? `${tensor.dtype}[${tensor.dims}]${Array.from(tensor.data as ArrayLike<unknown>, (v) => (Object.is(v, -0) ? '-0' : v)).join(',')}`
        : '';
    const known = key && this.constantNames.get(key);
    if (known) return this.value(known);
    const saved = this.scopes;
    this.scopes = [];
    const v = this.initializer(this.fresh('const'), tensor);
    this.scopes = saved;
    if (key) this.constantNames.set(key, v.name);
    return v;
  }

  /** A scalar of the same dtype as `like` (default float32). */
  scalar(value: number, dtype: DType = 'float32'): Value {
    return this.constant(fromNumbers(dtype, [], [value]));
  }

  i64(values: readonly number[]): Value {
    return this.constant(i64([values.length], values));
  }

  f32(dims: readonly number[], values: Float32Array | readonly number[]): Value {
    return this.constant(f32(dims, values));
  }

  /** The tensor behind a value when it is known while building; external weights are not read. */
  constantOf = (name: string): Tensor | undefined => {
    const init = this.opaque.has(name) ? undefined : this.initializers.get(name);
    return init && !isExternal(init) ? init : undefined;
  };

  /** Appends a node (its inputs must exist) as it is, but for a name that another node has, and returns all its outputs. */
  append(given: Node): Value[] {
    let name = given.name;
    while (name !== '' && this.nodeNames.has(name)) name = `${given.name}_${this.counter++}`;
    this.nodeNames.add(name);
    const node = name === given.name ? given : { ...given, name };
    const inputs = node.inputs.map((n) => (n === '' ? undefined : this.value(n)));
    const types = this.infer(node, inputs, this.constantOf, WORKING_OPSET);
    this.nodes.push(node);
    return node.outputs.flatMap((name, i) => {
      const t = types[i];
      if (name === '') return [];
      if (!t)
        throw new NorthlightError(
          'graph/outputs',
          `No type is known for output ${i} of ${node.opType} "${node.name}".`,
        );
      return [this.add({ name, dtype: t.dtype, dims: t.dims })];
    });
  }

  applyMany(
    opType: string,
    inputs: readonly (Value | null)[],
    attributes: Attributes,
    outputs: number,
    options: { domain?: string; name?: string } = {},
  ): Value[] {
    const dtype = inputs[0]?.dtype;
    if (dtype && isHalf(dtype) && SUMS.has(opType)) {
      const wide = inputs.map((v) => (v?.dtype === dtype ? this.cast(v, 'float32') : v));
      return this.applyMany(opType, wide, attributes, outputs, options).map((v) => this.cast(v, dtype));
    }
    const name = this.fresh(options.name ?? opType);
    const map = new Map<string, Attribute>();
    for (const [k, v] of Object.entries(attributes)) if (v !== undefined) map.set(k, attribute(v));
    const names = Array.from({ length: outputs }, (_, i) =>
      i === 0 ? name : this.fresh(`${options.name ?? opType}.${i}`),
    );
    return this.append({
      opType,
      domain: options.domain ?? '',
      name,
      inputs: inputs.map((v) => v?.name ?? ''),
      outputs: names,
      attributes: map,
    });
  }

  apply(opType: string, inputs: readonly (Value | null)[], attributes: Attributes = {}, name?: string): Value {
    return this.applyMany(opType, inputs, attributes, 1, name ? { name } : {})[0]!;
  }

  /** Declares `value` a graph output; with a name, through an Identity. */
  output(value: Value, name?: string): Value {
    let out = value;
    if (name && name !== value.name) {
      out = this.append({
        opType: 'Identity',
        domain: '',
        name: this.fresh(`${name}/out`),
        inputs: [value.name],
        outputs: [name],
        attributes: new Map(),
      })[0]!;
    }
    this.outputs.push(out);
    return out;
  }

  // Elementwise
  add2 = (a: Value, b: Value) => this.apply('Add', [a, b]);
  sub = (a: Value, b: Value) => this.apply('Sub', [a, b]);
  mul = (a: Value, b: Value) => this.apply('Mul', [a, b]);
  div = (a: Value, b: Value) => this.apply('Div', [a, b]);
  neg = (a: Value) => this.apply('Neg', [a]);
  exp = (a: Value) => this.apply('Exp', [a]);
  log = (a: Value) => this.apply('Log', [a]);
  sqrt = (a: Value) => this.apply('Sqrt', [a]);
  sigmoid = (a: Value) => this.apply('Sigmoid', [a]);
  tanh = (a: Value) => this.apply('Tanh', [a]);
  where = (c: Value, a: Value, b: Value) => this.apply('Where', [c, a, b]);
  cast = (a: Value, to: DType) => (a.dtype === to ? a : this.apply('Cast', [a], { to: DATA_TYPE[to] }));
  /** `a + s` and `a · s` for a number `s`. */
  addScalar = (a: Value, s: number) => this.add2(a, this.scalar(s, a.dtype));
  mulScalar = (a: Value, s: number) => (s === 1 ? a : this.mul(a, this.scalar(s, a.dtype)));

  // Shape
  reshape(a: Value, dims: readonly number[]): Value {
    if (a.dims.length === dims.length && a.dims.every((d, i) => d === dims[i])) return a;
    return this.apply('Reshape', [a, this.i64(dims)], dims.includes(0) ? { allowzero: 1 } : {});
  }
  transpose(a: Value, perm: readonly number[]): Value {
    return perm.every((p, i) => p === i) ? a : this.apply('Transpose', [a], { perm });
  }
  /** Swaps the last two axes. */
  transposeLast(a: Value): Value {
    const r = a.dims.length;
    return this.transpose(a, [...Array(r - 2).keys(), r - 1, r - 2]);
  }
  concat = (parts: readonly Value[], axis: number) =>
    parts.length === 1 ? parts[0]! : this.apply('Concat', parts, { axis });
  slice(a: Value, axis: number, start: number, end: number, step = 1): Value {
    return this.apply('Slice', [a, this.i64([start]), this.i64([end]), this.i64([axis]), this.i64([step])]);
  }
  split(a: Value, axis: number, sizes: readonly number[]): Value[] {
    return this.applyMany('Split', [a, this.i64(sizes)], { axis }, sizes.length);
  }
  expand(a: Value, dims: readonly number[]): Value {
    return a.dims.length === dims.length && a.dims.every((d, i) => d === dims[i])
      ? a
      : this.apply('Expand', [a, this.i64(dims)]);
  }
  pad(a: Value, pads: readonly number[]): Value {
    return pads.every((p) => p === 0) ? a : this.apply('Pad', [a, this.i64(pads)], { mode: 'constant' });
  }
  gather = (a: Value, indices: Value, axis: number) => this.apply('Gather', [a, indices], { axis });

  // Reductions
  reduceSum = (a: Value, axes: readonly number[], keepdims = true) =>
    this.apply('ReduceSum', [a, this.i64(axes)], { keepdims });
  reduceMean = (a: Value, axes: readonly number[], keepdims = true) =>
    this.apply('ReduceMean', [a, this.i64(axes)], { keepdims });
  reduceSumAll = (a: Value) => this.apply('ReduceSum', [a], { keepdims: 0 });
  reduceMeanAll = (a: Value) => this.apply('ReduceMean', [a], { keepdims: 0 });

  // Linear algebra
  matmul = (a: Value, b: Value) => this.apply('MatMul', [a, b]);
  gemm(a: Value, b: Value, c: Value | null = null, options: { transA?: boolean; transB?: boolean } = {}): Value {
    return this.apply('Gemm', c ? [a, b, c] : [a, b], {
      transA: options.transA ? 1 : undefined,
      transB: options.transB ? 1 : undefined,
    });
  }
  softmax = (a: Value, axis = -1) => this.apply('Softmax', [a], { axis });
  conv(
    x: Value,
    w: Value,
    b: Value | null,
    options: {
      strides?: readonly number[];
      pads?: readonly number[];
      dilations?: readonly number[];
      group?: number;
    } = {},
  ): Value {
    return this.apply('Conv', b ? [x, w, b] : [x, w], { kernel_shape: w.dims.slice(2), ...options });
  }

  /**
   * The finished model. `freeDims` gives names to sizes of inputs and outputs that may differ at run time (for example
   * the batch), where every node on the way is written to allow it.
   */
  toModel(name: string, freeDims: (value: Value) => readonly (number | string)[] = (v) => v.dims): Model {
    const info = (v: Value): ValueInfo => ({ name: v.name, dtype: v.dtype, dims: freeDims(v) });
    const opsets = new Map([['', WORKING_OPSET]]);
    const { nodes, initializers } = this.needed();
    if (nodes.some((n) => n.domain === 'com.microsoft')) opsets.set('com.microsoft', 1);
    return {
      irVersion: IR_VERSION,
      producerName: 'northlight',
      opsets,
      metadata: new Map(),
      graph: {
        name,
        nodes,
        inputs: this.inputs.map(info),
        outputs: this.outputs.map(info),
        initializers,
        valueInfo: new Map(),
      },
    };
  }

  /** The nodes and weights that the declared outputs depend on. */
  private needed(): { nodes: Node[]; initializers: Map<string, Initializer> } {
    const wanted = new Set(this.outputs.map((v) => v.name));
    const nodes: Node[] = [];
    for (let i = this.nodes.length - 1; i >= 0; i--) {
      const node = this.nodes[i]!;
      if (!node.outputs.some((o) => wanted.has(o))) continue;
      nodes.push(node);
      for (const name of node.inputs) wanted.add(name);
    }
    nodes.reverse();
    return { nodes, initializers: new Map([...this.initializers].filter(([name]) => wanted.has(name))) };
  }
}
