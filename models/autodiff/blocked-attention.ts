import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Graph, Node } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { dimsEqual, i64, numel, toNumbers } from '#models/tensor/tensor.ts';
import type { FusedGrad, FusedGroups } from './fused-group.ts';
import { fusedMatMul, multiHeadAttention, scan } from './kernels.ts';

/** Probabilities of one attention larger than this are not kept; below, other activations weigh more. */
const KEEP_BYTES = 2 ** 21;
/** About so much of the probabilities is in memory at a time. */
const BLOCK_BYTES = 2 ** 22;

/** O = softmax(scale · Q·Kᵀ)·V as exporters write it, found in a graph. Leading axes are heads and batch. */
export interface Attention {
  /** The node that makes O. */
  readonly node: Node;
  readonly q: Value; // [..., L, d]
  readonly kT: Value; // [..., d, S]
  readonly v: Value; // [..., S, e]
  readonly o: Value; // [..., L, e]
  readonly p: Value; // [..., L, S]
  readonly scale: number;
}

/**
 * Every attention whose scores and probabilities serve nothing else: MatMul, at will a Mul or Div by a number, Softmax over
 * the last axis, MatMul, all over the same heads. One with a mask is not among them.
 */
export function findAttention(op: GraphBuilder, nodes: readonly Node[]): Attention[] {
  const producer = new Map(nodes.map((n) => [n.outputs[0]!, n]));
  const uses = new Map<string, number>();
  for (const node of nodes) for (const name of node.inputs) uses.set(name, (uses.get(name) ?? 0) + 1);
  for (const { name } of op.outputs) uses.set(name, (uses.get(name) ?? 0) + 1);
  const only = (name: string, opType: string) => {
    const node = producer.get(name);
    return node?.domain === '' && node.opType === opType && uses.get(name) === 1 ? node : null;
  };
  const number = (name: string) => {
    const t = op.constantOf(name);
    return t?.data.length === 1 ? toNumbers(t)[0]! : null;
  };
  const found: Attention[] = [];
  for (const node of nodes) {
    if (node.opType !== 'MatMul' || node.domain !== '') continue;
    const softmax = only(node.inputs[0]!, 'Softmax');
    if (!softmax) continue;
    const p = op.value(softmax.outputs[0]!);
    const axis = softmax.attributes.get('axis')?.value ?? -1;
    if (axis !== -1 && axis !== p.dims.length - 1) continue;
    let scores = softmax.inputs[0]!;
    let scale = 1;
    for (;;) {
      const scaled = only(scores, 'Mul') ?? only(scores, 'Div');
      if (!scaled) break;
      const [a, b] = scaled.inputs as [string, string];
      const swapped = scaled.opType === 'Mul' && number(b) === null;
      const factor = number(swapped ? a : b);
      if (factor === null) break;
      scale *= scaled.opType === 'Mul' ? factor : 1 / factor;
      scores = swapped ? b : a;
    }
    const product = only(scores, 'MatMul');
    if (!product) continue;
    const [q, kT, v] = [product.inputs[0]!, product.inputs[1]!, node.inputs[1]!].map((n) => op.value(n)) as [
      Value,
      Value,
      Value,
    ];
    const heads = p.dims.slice(0, -2);
    if ([q, kT, v].some((x) => x.dims.length < 3 || !dimsEqual(x.dims.slice(0, -2), heads))) continue;
    if (scale <= 0) continue;
    found.push({ node, q, kT, v, o: op.value(node.outputs[0]!), p, scale });
  }
  return found;
}

/** Whether the probabilities are too large to be kept for the backward pass. */
const isLarge = ({ p }: Attention): boolean => p.dtype === 'float32' && numel(p.dims) * 4 > KEEP_BYTES;

/**
 * Replaces every large attention of the graph by MultiHeadAttention, which never holds its probabilities. Values keep their
 * names. The gradient is {@link blockedAttentionGrad}.
 */
export function blockAttention(op: GraphBuilder): void {
  for (const a of findAttention(op, op.nodes)) {
    if (!isLarge(a)) continue;
    const start = op.nodes.length;
    const [l, d] = a.q.dims.slice(-2) as [number, number];
    const [s, e] = a.v.dims.slice(-2) as [number, number];
    const n = numel(a.p.dims.slice(0, -2));
    op.scope(a.node.name, () => {
      const q = op.reshape(a.q, [n, l, d]);
      const k = op.reshape(swapLast(op, a.kT), [n, s, d]);
      const v = op.reshape(a.v, [n, s, e]);
      // The last node writes the attention's own output, which the builder knows already.
      const flat = dimsEqual(a.o.dims, [n, l, e]);
      const name = op.fresh('MultiHeadAttention');
      const output = flat ? a.o.name : name;
      const attention = multiHeadAttention(name, q, k, v, a.scale, output);
      if (flat) op.nodes.push(attention);
      else {
        const y = op.append(attention)[0]!;
        const back = op.reshape(y, a.o.dims);
        const last = op.nodes.pop()!;
        op.values.delete(back.name);
        op.nodes.push({ ...last, outputs: [a.o.name] });
      }
    });
    const made = op.nodes.splice(start);
    op.nodes.splice(op.nodes.indexOf(a.node), 1, ...made);
  }
}

/** Kᵀ → K: through the Transpose that made it where there is one. */
function swapLast(op: GraphBuilder, x: Value): Value {
  const r = x.dims.length;
  const last = [...Array(r - 2).keys(), r - 1, r - 2];
  const via = op.nodes.find((n) => n.outputs[0] === x.name);
  const perm = via?.opType === 'Transpose' && via.domain === '' ? via.attributes.get('perm') : undefined;
  if (perm?.kind !== 'ints') return op.transpose(x, last);
  return op.transpose(
    op.value(via!.inputs[0]!),
    last.map((i) => perm.value[i]!),
  );
}

/** Gradients of the attentions that {@link blockAttention} made. */
export function blockedAttentionGroups(op: GraphBuilder, nodes: readonly Node[]): FusedGroups {
  return new Map(nodes.filter(isBlocked).map((node) => [node, blockedAttentionGrad(op, node)]));
}

const isBlocked = (node: Node): boolean =>
  node.opType === 'MultiHeadAttention' &&
  node.domain === 'com.microsoft' &&
  node.inputs.length === 3 &&
  node.attributes.get('num_heads')?.value === 1;

/**
 * Gradient of softmax(scale·Q·Kᵀ)·V with the probabilities made again: of all heads where they fit into one block, else of
 * some heads or of one block of queries at a time, in loops of the graph (Dao et al. 2022, arXiv:2205.14135, algorithm 4, over whole rows, so that no running maximum is needed):
 * P = softmax(scale·Q·Kᵀ), D = Σ dO ⊙ O, dS = P ⊙ ([dO, D]·[V, −1]ᵀ), dQ = scale·dS·K, dKᵀ = scale·Qᵀ·dS, dVᵀ = dOᵀ·P.
 * Products with d rows on the left read P and dS as they lie, which is about twice as fast as transposing them.
 */
function blockedAttentionGrad(op: GraphBuilder, node: Node): FusedGrad {
  const [q, k, v] = node.inputs.map((name) => op.value(name)) as [Value, Value, Value];
  const o = op.value(node.outputs[0]!);
  const scale = node.attributes.get('scale')!.value as number;
  const [n, l, d] = q.dims as [number, number, number];
  const s = v.dims[1]!;
  return (g, dy) => {
    const { heads, blocks } = turns(n, l, s);
    const rows = l / blocks;
    const cut = (x: Value) => (blocks === 1 ? x : g.reshape(x, [n, blocks, rows, x.dims[2]!]));
    const dot = g.reduceSum(g.mul(dy, o), [2]);
    const minusOne = g.expand(g.scalar(-1), [n, s, 1]);
    const [qs, dys] = [cut(q), cut(dy)];
    const whole = {
      q: qs,
      qT: g.transposeLast(qs),
      dyD: cut(g.concat([dy, dot], 2)),
      dyT: g.transposeLast(dys),
      k,
      kT: g.transposeLast(k),
      vT: g.transposeLast(g.concat([v, minusOne], 2)), // [V, −1]ᵀ, [n, e + 1, s]
    };
    const [dq, dkT, dvT] = heads === n ? blockGrads(g, whole, scale) : inTurns(g, whole, scale, heads, blocks);
    return [
      [q, g.reshape(dq, [n, l, d])],
      [k, g.transposeLast(g.reshape(dkT, [n, d, s]))],
      [v, g.transposeLast(g.reshape(dvT, [n, v.dims[2]!, s]))],
    ];
  };
}

/** Some heads in each turn of a loop, or a part of one head in each turn of a loop within. */
function inTurns(
  g: GraphBuilder,
  whole: Block,
  scale: number,
  heads: number,
  blocks: number,
): readonly [Value, Value, Value] {
  const scanned = Object.entries(whole).map(([name, x]: [string, Value]) => {
    const [n, ...own] = x.dims as [number, ...number[]];
    return [name, heads === 1 ? x : g.reshape(x, [n / heads, heads, ...own])] as const;
  });
  const path = g.path(g.fresh('head'));
  const body = createBuilder();
  const graph = body.scope(path, () => {
    const x = Object.fromEntries(
      scanned.map(([name, value]) => [name, body.input(`${path}/${name}`, 'float32', value.dims.slice(1))]),
    ) as unknown as Block;
    const grads = blocks === 1 ? blockGrads(body, x, scale) : queryBlocks(body, x, scale, `${path}/block`);
    for (const y of grads) body.output(y);
    return body.toModel('head').graph;
  });
  const grads = scan(
    g,
    [],
    scanned.map(([, value]) => value),
    graph,
  );
  return grads as [Value, Value, Value];
}

/** What one turn reads; leading axes, if any, are heads. */
interface Block {
  readonly q: Value; // [rows, d]
  readonly qT: Value;
  readonly dyD: Value; // [rows, e + 1]
  readonly dyT: Value; // [e, rows]
  readonly k: Value; // [s, d]
  readonly kT: Value;
  readonly vT: Value; // [e + 1, s]
}

/** dQ `[rows, d]`, and the part of these queries in dKᵀ `[d, s]` and dVᵀ `[e, s]`. */
function blockGrads(op: GraphBuilder, x: Block, scale: number): [Value, Value, Value] {
  const p = op.softmax(fusedMatMul(op, x.q, x.kT, { alpha: scale }));
  const ds = op.mul(p, op.matmul(x.dyD, x.vT));
  return [fusedMatMul(op, ds, x.k, { alpha: scale }), fusedMatMul(op, x.qT, ds, { alpha: scale }), op.matmul(x.dyT, p)];
}

/** One head, a block of queries at a time; dKᵀ and dVᵀ are the state of the inner loop. */
function queryBlocks(op: GraphBuilder, x: Block, scale: number, path: string): [Value, Value, Value] {
  const zeros = (name: string, dims: readonly number[]) =>
    op.apply('ConstantOfShape', [op.initializer(op.path(`${name}/shape`), i64([dims.length], dims))], {}, name);
  const inner = createBuilder();
  const [d, s] = x.kT.dims as [number, number];
  const e = x.dyT.dims[1]!;
  const cut = { q: x.q, qT: x.qT, dyD: x.dyD, dyT: x.dyT };
  const graph: Graph = inner.scope(path, () => {
    const dkT = inner.input(`${path}/dkT`, 'float32', [d, s]);
    const dvT = inner.input(`${path}/dvT`, 'float32', [e, s]);
    const part = Object.fromEntries(
      Object.entries(cut).map(([name, v]) => [name, inner.input(`${path}/${name}`, 'float32', v.dims.slice(1))]),
    ) as Record<keyof typeof cut, Value>;
    // The whole head's keys and values are read from the graph around.
    for (const v of [x.k, x.kT, x.vT]) inner.values.set(v.name, v);
    const [dq, dkPart, dvPart] = blockGrads(inner, { ...x, ...part }, scale);
    inner.output(inner.add2(dkT, dkPart));
    inner.output(inner.add2(dvT, dvPart));
    inner.output(dq);
    return inner.toModel('block').graph;
  });
  const states = [zeros('dkT0', [d, s]), zeros('dvT0', [e, s])];
  const [dkT, dvT, dq] = scan(op, states, Object.values(cut), graph) as [Value, Value, Value];
  return [dq, dkT, dvT];
}

/** As many heads per turn as stay within the block size; where one is too large, the least number of equal blocks of its queries. */
function turns(n: number, l: number, s: number): { readonly heads: number; readonly blocks: number } {
  const fits = (heads: number, rows: number) => heads * rows * s * 4 <= BLOCK_BYTES;
  for (let heads = n; heads >= 1; heads--) if (n % heads === 0 && fits(heads, l)) return { heads, blocks: 1 };
  for (let blocks = 2; blocks < l; blocks++) if (l % blocks === 0 && fits(1, l / blocks)) return { heads: 1, blocks };
  return { heads: 1, blocks: l };
}
