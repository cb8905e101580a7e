import type { TypedShape } from '#models/onnx/builder.ts';
import { DATA_TYPE } from '#models/onnx/data-types.ts';
import {
  type Attribute,
  type Graph,
  type Initializer,
  int,
  type Model,
  type Node,
  tensorAttribute,
} from '#models/onnx/ir.ts';
import { readsOf } from '#models/onnx/traverse.ts';
import { BYTES_PER_ELEMENT, f32, i64, numel } from '#models/tensor/tensor.ts';
import { productFlops } from './flops.ts';

export interface CheckpointOptions {
  /** The forward pass is cut into so many parts of about equal activations; the backward nodes of each share a scope. */
  readonly segments: number;
  /**
   * Results of products that cost more than so many operations per byte are kept all the same: a convolution or an attention
   * costs thousands and takes little room, a linear layer of a transformer some hundreds. Default: 500. Infinity keeps none;
   * below 0 keeps every result.
   */
  readonly keepAbove?: number;
  /** A float value of the forward pass, computed late: the scopes wait for it. Usually the loss. */
  readonly after: string;
}

/** The parts of a training graph that the transformation must know apart. */
export interface DifferentiatedModel {
  readonly model: Model;
  /** The nodes that were there before differentiation; all others are backward. */
  readonly forward: ReadonlySet<Node>;
  /** Types of every value of the graph. */
  readonly types: ReadonlyMap<string, TypedShape>;
}

/**
 * Activation checkpointing: only values that cross from one segment of the forward pass to a later one, and what is dear to
 * compute, are kept; the rest is computed again for the backward pass (Chen et al. 2016, arXiv:1604.06174; Korthikanti et
 * al. 2022, arXiv:2205.05198, sec. 5). The last segment is still in memory when the backward pass starts and is not
 * computed again.
 *
 * The backward nodes of a segment and what they compute again are the taken branch of an `If` whose condition is only known
 * at run time: a scope with memory of its own, which no optimiser merges with the forward pass, and scopes run in order. In
 * one flat graph the runtime keeps buffers for later values of the same shape. Sessions must be opened for training
 * (common subexpressions stay apart) and below optimisation level `all`: onnxruntime 1.30's blocked layout (NCHWc) gives
 * wrong numbers inside branches.
 *
 * Values that depend on weights alone (a widened or transposed weight) are never kept from the forward pass.
 * Names of inputs and outputs do not change, and neither do their values.
 */
export function checkpoint(given: DifferentiatedModel, options: CheckpointOptions): Model {
  const { model, forward, types } = given;
  const { graph } = model;
  const forwardNodes = graph.nodes.filter((n) => forward.has(n));
  const { nodes: backwardNodes, renamed } = withoutOutputCopies(graph, forward);
  if (backwardNodes.length === 0) return model;
  const bytes = (name: string) => {
    const t = types.get(name);
    return t ? numel(t.dims) * BYTES_PER_ELEMENT[t.dtype] : 0;
  };

  const weightOnly = dependOnWeightsAlone(graph, forwardNodes);
  const readBack = new Set(backwardNodes.flatMap(readsOf));
  const segmentOf = assignSegments(
    forwardNodes.filter((n) => !weightOnly.has(n.outputs[0]!)),
    options.segments,
    readBack,
    bytes,
  );
  const lastSegment = Math.max(0, ...segmentOf.values());
  const kept = crossing(forwardNodes, segmentOf);
  const keepAbove = options.keepAbove ?? 500;
  for (const node of forwardNodes) {
    const y = node.outputs[0]!;
    if (productFlops(node, (name) => types.get(name)) > keepAbove * bytes(y)) kept.add(y);
  }
  for (const { name } of graph.outputs) kept.add(name);

  // Backward nodes come in the reverse order of what they differentiate: a scope is a run of them.
  const scopeOf: number[] = [];
  let current = lastSegment;
  for (const node of backwardNodes) {
    for (const name of readsOf(node)) {
      const s = segmentOf.get(name);
      if (s !== undefined && !kept.has(name)) current = Math.min(current, s);
    }
    scopeOf.push(current);
  }
  backwardNodes.forEach((node, k) => {
    for (const name of readsOf(node)) {
      const s = segmentOf.get(name);
      if (s !== undefined && s !== scopeOf[k]) kept.add(name);
    }
  });

  const producer = new Map(forwardNodes.flatMap((n) => n.outputs.map((o) => [o, n] as const)));
  const recomputed = (name: string) =>
    weightOnly.has(name) || ((segmentOf.get(name) ?? lastSegment) < lastSegment && !kept.has(name));
  const outputNames = new Set(graph.outputs.map((o) => o.name));
  const nodes: Node[] = [...forwardNodes];
  const { condition, made } = runtimeTrue(options.after, types.get(options.after)!.dims.length > 0);
  nodes.push(...made);

  const scopes = [...new Set(scopeOf)];
  const lastReader = new Map<string, number>();
  backwardNodes.forEach((node, k) => {
    for (const name of readsOf(node)) lastReader.set(name, scopes.indexOf(scopeOf[k]!));
  });
  scopes.forEach((scope, at) => {
    const body = backwardNodes.filter((_, k) => scopeOf[k] === scope);
    const again = recomputation(body, producer, recomputed, `again/${scope}/`);
    const results = body
      .flatMap((n) => n.outputs)
      .filter((o) => o !== '' && (outputNames.has(renamed.get(o) ?? o) || (lastReader.get(o) ?? -1) > at));
    if (results.length === 0) return;
    const ordered = weightsFirst([...again.nodes, ...body], dependOnWeightsAlone(graph, [...forwardNodes, ...body]));
    nodes.push(ifScope(`backward/${scope}`, condition, ordered, again.rename, results, types, renamed));
  });
  return { ...model, graph: { ...graph, nodes: weightsFirst(nodes, weightOnly) } };
}

/**
 * Gradients leave the graph through Identity nodes. They are dropped, and their source takes the output's name, so that no
 * copy of a gradient is made at the end.
 */
function withoutOutputCopies(
  graph: Graph,
  forward: ReadonlySet<Node>,
): { nodes: Node[]; renamed: Map<string, string> } {
  const outputs = new Set(graph.outputs.map((o) => o.name));
  const backward = graph.nodes.filter((n) => !forward.has(n));
  const made = new Set(backward.flatMap((n) => n.outputs));
  const renamed = new Map<string, string>();
  const nodes = backward.filter((n) => {
    const [source, out] = [n.inputs[0]!, n.outputs[0]!];
    const copy = n.opType === 'Identity' && outputs.has(out) && made.has(source) && !outputs.has(source);
    if (!copy || renamed.has(source)) return true;
    renamed.set(source, out);
    return false;
  });
  return { nodes, renamed };
}

/** Values of the forward pass that no input reaches. */
function dependOnWeightsAlone(graph: Graph, nodes: readonly Node[]): Set<string> {
  const fixed = new Set(graph.initializers.keys());
  const found = new Set<string>();
  for (const node of nodes) {
    const reads = readsOf(node);
    if (reads.length === 0 || !reads.every((n) => fixed.has(n))) continue;
    for (const o of node.outputs) {
      fixed.add(o);
      found.add(o);
    }
  }
  return found;
}

/** Value → segment, cutting where little crosses, near equal shares of the bytes that the backward pass reads. */
function assignSegments(
  nodes: readonly Node[],
  segments: number,
  readBack: ReadonlySet<string>,
  bytes: (name: string) => number,
): Map<string, number> {
  const n = nodes.length;
  const last = new Map<string, number>();
  nodes.forEach((node, i) => {
    for (const name of readsOf(node)) last.set(name, i);
  });
  const saved = new Float64Array(n + 1); // bytes for the backward pass made before node i
  const change = new Float64Array(n + 2); // of what crosses a cut before node i
  nodes.forEach((node, i) => {
    let sum = 0;
    for (const o of node.outputs) {
      if (readBack.has(o)) sum += bytes(o);
      const end = last.get(o) ?? i;
      if (end > i) {
        change[i + 1]! += bytes(o);
        change[end + 1]! -= bytes(o);
      }
    }
    saved[i + 1] = saved[i]! + sum;
  });
  const across = new Float64Array(n + 1);
  for (let i = 1; i <= n; i++) across[i] = across[i - 1]! + change[i]!;

  const cuts: number[] = [];
  const share = saved[n]! / segments;
  for (let s = 1; s < segments; s++) {
    // Within half a share around the equal position, the cut that least crosses; the nearest to the position among equals.
    let best = -1;
    for (let i = (cuts.at(-1) ?? 0) + 1; i < n; i++) {
      const away = Math.abs(saved[i]! - s * share);
      if (away > share / 2) continue;
      if (best < 0 || across[i]! < across[best]!) best = i;
      else if (across[i] === across[best] && away < Math.abs(saved[best]! - s * share)) best = i;
    }
    if (best > 0) cuts.push(best);
  }
  const segment = new Map<string, number>();
  let s = 0;
  nodes.forEach((node, i) => {
    while (cuts[s] !== undefined && cuts[s]! <= i) s++;
    for (const o of node.outputs) if (o !== '') segment.set(o, s);
  });
  return segment;
}

/** Values read by a forward node of a later segment. */
function crossing(nodes: readonly Node[], segmentOf: ReadonlyMap<string, number>): Set<string> {
  const found = new Set<string>();
  for (const node of nodes) {
    const own = segmentOf.get(node.outputs.find((o) => o !== '')!);
    if (own === undefined) continue;
    for (const name of readsOf(node)) {
      const made = segmentOf.get(name);
      if (made !== undefined && made !== own) found.add(name);
    }
  }
  return found;
}

/** Copies of the forward nodes that give what `body` reads and is not kept. */
function recomputation(
  body: readonly Node[],
  producer: ReadonlyMap<string, Node>,
  recomputed: (name: string) => boolean,
  prefix: string,
): { nodes: Node[]; rename: Map<string, string> } {
  const rename = new Map<string, string>();
  const wanted = new Set<Node>();
  const open = body.flatMap(readsOf);
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const node = producer.get(name);
    if (!node || !recomputed(name) || wanted.has(node)) continue;
    wanted.add(node);
    for (const o of node.outputs) if (o !== '') rename.set(o, prefix + o);
    open.push(...readsOf(node));
  }
  const nodes = [...new Set(producer.values())]
    .filter((n) => wanted.has(n))
    .map((n) => ({ ...n, name: prefix + n.name }));
  return { nodes, rename };
}

function renameNode(node: Node, rename: ReadonlyMap<string, string>): Node {
  const to = (n: string) => rename.get(n) ?? n;
  const attributes = new Map<string, Attribute>();
  for (const [k, a] of node.attributes) {
    attributes.set(k, a.kind === 'graph' ? { kind: 'graph', value: renameCaptured(a.value, rename) } : a);
  }
  return { ...node, inputs: node.inputs.map(to), outputs: node.outputs.map(to), attributes };
}

/** Values made inside have names of their own; what a body captures follows the new names. */
function renameCaptured(graph: Graph, rename: ReadonlyMap<string, string>): Graph {
  return {
    ...graph,
    nodes: graph.nodes.map((n) => renameNode(n, rename)),
    outputs: graph.outputs.map((o) => ({ ...o, name: rename.get(o.name) ?? o.name })),
  };
}

/** A boolean that is true whatever the value, in a form that no optimiser knows: a > 0 or not (a > 0). */
function runtimeTrue(value: string, reduce: boolean): { condition: string; made: Node[] } {
  const node = (opType: string, name: string, inputs: string[], attributes: Node['attributes'] = new Map()): Node => ({
    opType,
    domain: '',
    name,
    inputs,
    outputs: [name],
    attributes,
  });
  const made: Node[] = [node('Constant', 'scope/zero', [], new Map([['value', tensorAttribute(f32([], [0]))]]))];
  let scalar = value;
  if (reduce) {
    made.push(node('ReduceMax', 'scope/one', [value], new Map([['keepdims', int(0)]])));
    scalar = 'scope/one';
  }
  made.push(node('Cast', 'scope/float', [scalar], new Map([['to', int(DATA_TYPE.float32)]])));
  made.push(node('Greater', 'scope/positive', ['scope/float', 'scope/zero']));
  made.push(node('Not', 'scope/other', ['scope/positive']));
  made.push(node('Or', 'scope/run', ['scope/positive', 'scope/other']));
  return { condition: 'scope/run', made };
}

function ifScope(
  name: string,
  condition: string,
  body: readonly Node[],
  rename: ReadonlyMap<string, string>,
  results: readonly string[],
  types: ReadonlyMap<string, TypedShape>,
  renamed: ReadonlyMap<string, string>,
): Node {
  // Names of an inner graph must differ from all outside it.
  const inside = (n: string) => `${name}/${n}`;
  const all = new Map([...renamed, ...rename]);
  for (const r of results) all.set(r, inside(r));
  const info = (n: string) => ({ name: n, dtype: types.get(n)!.dtype, dims: types.get(n)!.dims });
  const thenBranch: Graph = {
    name: `${name}/then`,
    nodes: body.map((n) => renameNode(n, all)),
    inputs: [],
    outputs: results.map((r) => ({ ...info(r), name: inside(r) })),
    initializers: new Map(),
    valueInfo: new Map(),
  };
  // Never taken. Its zeros come from the condition, so that nothing of full size is folded into the model.
  const initializers = new Map<string, Initializer>();
  const elseNodes: Node[] = results.flatMap((r, i) => {
    const { dtype, dims } = types.get(r)!;
    const shape = `${name}/else/shape${i}`;
    const zero = `${name}/else/zero${i}`;
    initializers.set(shape, i64([dims.length], dims));
    const plain = { domain: '', attributes: new Map() };
    return [
      {
        ...plain,
        opType: 'Cast',
        name: zero,
        inputs: [condition],
        outputs: [zero],
        attributes: new Map([['to', int(DATA_TYPE[dtype])]]),
      },
      { ...plain, opType: 'Expand', name: `${name}/else/${i}`, inputs: [zero, shape], outputs: [`${name}/else/${i}`] },
    ];
  });
  const elseBranch: Graph = {
    name: `${name}/else`,
    nodes: elseNodes,
    inputs: [],
    outputs: results.map((r, i) => ({ ...info(r), name: `${name}/else/${i}` })),
    initializers,
    valueInfo: new Map(),
  };
  return {
    opType: 'If',
    domain: '',
    name,
    inputs: [condition],
    outputs: results.map((r) => renamed.get(r) ?? r),
    attributes: new Map([
      ['then_branch', { kind: 'graph', value: thenBranch }],
      ['else_branch', { kind: 'graph', value: elseBranch }],
    ]),
  };
}

/**
 * The runtime runs the input of a node that comes last in the file first. Nodes on weights alone come first in the file, so
 * that a widened weight is made right before its reader and not long before.
 */
function weightsFirst(nodes: readonly Node[], weightOnly: ReadonlySet<string>): Node[] {
  const early = (n: Node) => n.outputs.some((o) => weightOnly.has(o));
  return [...nodes.filter(early), ...nodes.filter((n) => !early(n))];
}
