import { productFlops, type TypeOf } from '#models/autodiff/flops.ts';
import type { TypedShape } from '#models/onnx/builder.ts';
import { type Graph, isExternal, type Model, type Node } from '#models/onnx/ir.ts';
import { allGraphs, readsOf, subgraphs } from '#models/onnx/traverse.ts';
import { BYTES_PER_ELEMENT, numel } from '#models/tensor/tensor.ts';

export interface Estimate {
  /** Most bytes of values that are alive at once, working space of operators included. */
  readonly activationBytes: number;
  /** All weights, and those of them that lie in the model itself and not in a file beside it. */
  readonly weightBytes: number;
  readonly inlineBytes: number;
  /** Everything that is fed, trained weights among it. */
  readonly inputBytes: number;
  /** Bodies of branches and loops included. */
  readonly nodes: number;
  /** Name of the node at which the most is alive. */
  readonly peakNode: string;
  readonly seconds: number;
  /** What they are spent on. */
  readonly spent: Spent;
}

/** Seconds by what they are spent on: each kind is proportional to one or two of the machine's rates. */
export interface Spent {
  readonly products: number;
  readonly convolutions: number;
  /** Softmax, exponentials and the like. */
  readonly functions: number;
  /** Bytes read and written. */
  readonly passes: number;
  /** Starts of nodes. */
  readonly nodes: number;
}

const NOTHING: Spent = { products: 0, convolutions: 0, functions: 0, passes: 0, nodes: 0 };

const plus = (a: Spent, b: Spent, times = 1): Spent => ({
  products: a.products + times * b.products,
  convolutions: a.convolutions + times * b.convolutions,
  functions: a.functions + times * b.functions,
  passes: a.passes + times * b.passes,
  nodes: a.nodes + times * b.nodes,
});

/** What this machine does per second, measured (models/training/machine-rates.ts). */
export interface MachineRates {
  /** Operations of matrix products, and of 3×3 convolutions. */
  readonly productFlops: number;
  readonly convFlops: number;
  /** Bytes read and written by elementwise operators on tensors beyond the caches, and within them. */
  readonly memoryBytes: number;
  readonly cacheBytes: number;
  /** Elements of a softmax. */
  readonly softmaxElements: number;
  /** Start of one node. */
  readonly nodeSeconds: number;
}

const VIEWS = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity', 'Dropout', 'Constant']);
const PRODUCTS = new Set(['MatMul', 'FusedMatMul', 'Gemm']);
/** Operators that the runtime lets write over an input that nobody reads any more. */
const IN_PLACE = new Set(
  'Add Sub Mul Div Sum Neg Exp Log Sqrt Sigmoid Tanh Relu Abs Softmax Erf Clip Cast Pow Where'.split(' '),
);
/** Elementwise operators that compute rather than copy, in units of a softmax element. */
const HEAVY = new Map(
  Object.entries({ Softmax: 1, Exp: 0.5, Sigmoid: 0.7, Tanh: 0.7, Erf: 0.7, Gelu: 1, QuickGelu: 1, Pow: 2 }),
);
/** Products of a network, whose operands come from memory, run at about so much of the rate of one product in the caches. */
const EFFICIENCY = 0.8;
/** Kernels compute blocks of 16 columns and rows; a product over few terms spends its time on loading and storing the result. */
const BLOCK = 16;
const SHORT = 8;
/** A convolution whose weight is not a constant cannot have it put in order beforehand. */
const FED_WEIGHT = 0.75;
/** Results are copied into fresh memory, page by page: seconds per byte. */
const COPY_SECONDS = 5e-10;
/** Passes over fewer bytes run at the cache's rate, over 64 times as many at the memory's, and in between at one in between. */
const CACHE_BYTES = 2 ** 18;

/**
 * Memory and time of one run, from the graph alone. Nodes run in the runtime's order; a value dies after its last reader;
 * branches and loop bodies live inside their node; views share their source; elementwise operators write over an input
 * that dies. Time is products at their rate plus passes over memory.
 * @param types of the graph's values; sizes inside branches and loop bodies come from their declared types and these.
 */
export function estimateRun(model: Model, types: ReadonlyMap<string, TypedShape>, rates: MachineRates): Estimate {
  let weightBytes = 0;
  let inlineBytes = 0;
  for (const init of model.graph.initializers.values()) {
    const bytes = isExternal(init) ? init.external.length : init.data.length * BYTES_PER_ELEMENT[init.dtype];
    weightBytes += bytes;
    if (!isExternal(init)) inlineBytes += bytes;
  }
  const inputBytes = model.graph.inputs.reduce((sum, { name }) => {
    const t = types.get(name);
    return sum + (t ? numel(t.dims) * BYTES_PER_ELEMENT[t.dtype] : 0);
  }, 0);
  const walked = walk(model.graph, scopedTypes(types), rates, new Set(model.graph.initializers.keys()));
  const outputBytes = model.graph.outputs.reduce((sum, { name }) => {
    const t = types.get(name);
    return sum + (t ? numel(t.dims) * BYTES_PER_ELEMENT[t.dtype] : 0);
  }, 0);
  let nodes = 0;
  for (const g of allGraphs(model.graph)) nodes += g.nodes.length;
  const spent = plus(walked.spent, { ...NOTHING, passes: COPY_SECONDS * outputBytes });
  return {
    activationBytes: walked.peak,
    weightBytes,
    inlineBytes,
    inputBytes,
    nodes,
    peakNode: walked.node,
    seconds: Object.values(spent).reduce((sum, v) => sum + v, 0),
    spent,
  };
}

/** Values copied into scopes have the types of their originals. */
function scopedTypes(types: ReadonlyMap<string, TypedShape>): TypeOf {
  return (name) => types.get(name) ?? types.get(name.replace(/^(again|backward)\/(\d+\/)?/, ''));
}

interface Walk {
  readonly peak: number;
  readonly node: string;
  readonly spent: Spent;
}

function walk(graph: Graph, outer: TypeOf, rates: MachineRates, constants: ReadonlySet<string>): Walk {
  const own = new Map<string, TypedShape>();
  for (const info of [...graph.inputs, ...graph.outputs, ...graph.valueInfo.values()]) {
    if (info.dims?.every((d) => typeof d === 'number'))
      own.set(info.name, { dtype: info.dtype, dims: info.dims as number[] });
  }
  const typeOf: TypeOf = (name) => own.get(name) ?? outer(name);
  // Bodies of loops declare what enters and leaves them, not what is in between.
  for (const n of graph.nodes) {
    for (const o of n.outputs) {
      if (o === '' || typeOf(o)) continue;
      const guess = guessType(n, typeOf);
      if (guess) own.set(o, guess);
    }
  }
  const sizeOf = (name: string) => {
    const t = typeOf(name);
    return t ? numel(t.dims) * BYTES_PER_ELEMENT[t.dtype] : 0;
  };
  const reads = new Map(graph.nodes.map((n) => [n, [...new Set(readsOf(n))]] as const));
  const nodes = runtimeOrder(graph, reads);
  const made = new Set(nodes.flatMap((n) => n.outputs));
  const source = new Map<string, string>(); // view → the value whose memory it is
  const root = (name: string) => source.get(name) ?? name;
  for (const n of nodes) {
    const from = root(n.inputs[0] ?? '');
    if (VIEWS.has(n.opType) && n.domain === '' && made.has(from)) source.set(n.outputs[0]!, from);
  }
  const last = new Map<string, number>();
  nodes.forEach((n, i) => {
    for (const name of [...reads.get(n)!, ...n.outputs]) last.set(root(name), i);
  });
  for (const o of graph.outputs) last.set(root(o.name), nodes.length);

  const alive = new Map<string, number>();
  let live = 0;
  let peak = 0;
  let at = '';
  let spent = NOTHING;
  nodes.forEach((n, i) => {
    const dying = [...new Set(reads.get(n)!.map(root))].filter((r) => alive.has(r) && last.get(r) === i);
    for (const o of n.outputs) {
      if (o === '' || source.has(o)) continue;
      const size = sizeOf(o);
      const over = IN_PLACE.has(n.opType) && n.domain === '' ? dying.find((r) => alive.get(r) === size) : undefined;
      if (over !== undefined) {
        alive.set(over, 0);
        live -= size;
      }
      alive.set(o, size);
      live += size;
    }
    let inside = workspace(n, typeOf);
    if (n.opType === 'If') {
      const branch = n.attributes.get('then_branch');
      if (branch?.kind === 'graph') {
        const body = walk(branch.value, typeOf, rates, constants);
        inside += body.peak - n.outputs.reduce((sum, o) => sum + sizeOf(o), 0);
        spent = plus(spent, body.spent);
      }
    } else if (subgraphs(n).length > 0) {
      const body = walk(subgraphs(n)[0]!, typeOf, rates, constants);
      inside += body.peak;
      spent = plus(spent, body.spent, iterations(n, typeOf));
    } else if (!VIEWS.has(n.opType)) spent = plus(spent, nodeSeconds(n, typeOf, sizeOf, rates, constants));
    if (live + Math.max(0, inside) > peak) {
      peak = live + Math.max(0, inside);
      at = n.name;
    }
    for (const r of [...dying, ...n.outputs]) {
      if (last.get(r) !== i || !alive.has(r)) continue;
      live -= alive.get(r)!;
      alive.delete(r);
    }
  });
  return { peak, node: at, spent };
}

/** A product's type; for other operators, that of the largest input. */
function guessType(node: Node, typeOf: TypeOf): TypedShape | undefined {
  const inputs = node.inputs.flatMap((name) => typeOf(name) ?? []);
  const [a, b] = inputs;
  if (a && b && node.opType === 'MatMul') return { dtype: a.dtype, dims: [...a.dims.slice(0, -1), b.dims.at(-1)!] };
  return inputs.toSorted((x, y) => numel(y.dims) - numel(x.dims))[0];
}

/** Times that the body of a Scan runs: the length of its first scanned input. */
function iterations(node: Node, typeOf: TypeOf): number {
  const scanned = node.attributes.get('num_scan_inputs')?.value;
  if (node.opType !== 'Scan' || typeof scanned !== 'number') return 1;
  return typeOf(node.inputs[node.inputs.length - scanned]!)?.dims[0] ?? 1;
}

/** Columns that a transposed convolution writes before it spreads them. */
function columnBytes(node: Node, typeOf: TypeOf): number {
  const [dy, w] = [typeOf(node.inputs[0]!), typeOf(node.inputs[1]!)];
  return dy && w ? numel(w.dims.slice(1)) * numel(dy.dims.slice(2)) * BYTES_PER_ELEMENT[dy.dtype] : 0;
}

/** Extra memory an operator takes while it runs. */
const workspace = (node: Node, typeOf: TypeOf): number =>
  node.opType === 'ConvTranspose' ? columnBytes(node, typeOf) : 0;

function nodeSeconds(
  node: Node,
  typeOf: TypeOf,
  sizeOf: (name: string) => number,
  rates: MachineRates,
  constants: ReadonlySet<string>,
): Spent {
  const y = node.outputs[0]!;
  let bytes = 0;
  for (const name of [...node.inputs, ...node.outputs]) bytes += sizeOf(name);
  const flops = productFlops(node, typeOf);
  const pointwise = node.opType === 'Conv' && numel(typeOf(node.inputs[1]!)?.dims.slice(2) ?? []) === 1;
  const spatial = node.opType === 'Conv' && !pointwise;
  const rate = spatial
    ? rates.convFlops * (constants.has(node.inputs[1]!) ? 1 : FED_WEIGHT)
    : rates.productFlops * narrowness(node, flops, typeOf);
  const elements = numel(typeOf(y)?.dims ?? []);
  let heavy = (HEAVY.get(node.opType) ?? 0) * elements;
  if (node.opType === 'MultiHeadAttention') heavy = flops / (4 * (typeOf(node.inputs[0]!)?.dims.at(-1) ?? 1));
  if (node.opType === 'ConvTranspose') bytes += 4 * columnBytes(node, typeOf);
  const beyond = Math.min(1, Math.max(0, Math.log2(bytes / CACHE_BYTES) / 6));
  const pass = bytes / (rates.cacheBytes ** (1 - beyond) * rates.memoryBytes ** beyond);
  const product = flops / (EFFICIENCY * rate);
  return {
    products: spatial ? 0 : product,
    convolutions: spatial ? product : 0,
    functions: heavy / rates.softmaxElements,
    passes: pass,
    nodes: rates.nodeSeconds,
  };
}

/** Share of a kernel's work that counts, for a product of matrices: few rows or columns leave a block partly empty. */
function narrowness(node: Node, flops: number, typeOf: TypeOf): number {
  const y = typeOf(node.outputs[0]!);
  if (!y || flops === 0 || y.dims.length < 2 || !PRODUCTS.has(node.opType)) return 1;
  const filled = (n: number) => n / (BLOCK * Math.ceil(n / BLOCK));
  const terms = flops / (2 * numel(y.dims));
  return Math.min(filled(y.dims.at(-1)!), filled(y.dims.at(-2)!)) * (terms / (terms + SHORT));
}

/**
 * The order in which ONNX Runtime runs a graph: depth first from the nodes that nothing reads, later nodes of the file
 * first (`Graph::ReverseDFSFrom` with comparison by index, as `GraphViewer` calls it).
 */
export function runtimeOrder(
  graph: Graph,
  reads: ReadonlyMap<Node, readonly string[]> = new Map(graph.nodes.map((n) => [n, readsOf(n)])),
): Node[] {
  const index = new Map<Node, number>(graph.nodes.map((n, i) => [n, i]));
  const producer = new Map<string, Node>();
  for (const n of graph.nodes) for (const o of n.outputs) if (o !== '') producer.set(o, n);
  const inputs = graph.nodes.map((n) => {
    const from = new Set(reads.get(n)!.flatMap((name) => producer.get(name) ?? []));
    return [...from].sort((a, b) => index.get(a)! - index.get(b)!);
  });
  const read = new Set(inputs.flat());
  const order: Node[] = [];
  const visited = new Set<Node>();
  const stack = graph.nodes.filter((n) => !read.has(n)).map((node) => ({ node, leave: false }));
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { node, leave } = top;
    if (leave) {
      order.push(node);
      continue;
    }
    if (visited.has(node)) continue;
    visited.add(node);
    stack.push({ node, leave: true });
    for (const from of inputs[index.get(node)!]!) if (!visited.has(from)) stack.push({ node: from, leave: false });
  }
  return order;
}
