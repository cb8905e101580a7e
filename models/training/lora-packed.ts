import type { Node } from '#models/onnx/ir.ts';
import { dimsEqual, f32, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import type { LoraModule } from './lora-formats/adapter.ts';
import type { Layer } from './lora-layers.ts';

/** One of the modules that a runtime packed into one weight, and the outputs of the packed layer that are its own. */
export interface PackedPart {
  readonly module: string;
  readonly rows: readonly number[];
}

/** Query, key and value in one weight, as the runtime's optimiser makes it: what the layer is called, and each part. */
export interface Packed {
  readonly module: string;
  readonly parts: readonly { readonly leaf: string; readonly rows: readonly number[] }[];
  readonly leaf: string;
}

/**
 * How a node's weight is packed, by the path of the attention around it: `Attention`, whose columns are query | key | value, and
 * a product that `MultiHeadAttention` reads as [batch, tokens, heads, 3 or 2, size]. Null for a layer of its own, or no path.
 */
export function packedAt(node: Node, layer: Layer, users: ReadonlyMap<string, readonly Node[]>): Packed | null {
  if (layer.kind !== 'linear') return null;
  const out = layer.outFeatures;
  if (node.domain === 'com.microsoft' && node.opType === 'Attention') {
    const sizes = node.attributes.get('qkv_hidden_sizes');
    const widths = sizes?.kind === 'ints' && sizes.value.length === 3 ? sizes.value : [out / 3, out / 3, out / 3];
    const rows = widths.map((n, i) =>
      range(
        widths.slice(0, i).reduce((sum, w) => sum + w, 0),
        n,
      ),
    );
    return named(node, rows, 'qkv');
  }
  if (node.opType !== 'MatMul') return null;
  const reshape = only(users, node.outputs[0]!);
  const attention = reshape?.opType === 'Reshape' ? only(users, reshape.outputs[0]!) : undefined;
  if (!reshape || attention?.opType !== 'MultiHeadAttention') return null;
  const [query, key = '', value = ''] = attention.inputs;
  const what =
    query === reshape.outputs[0] && key === '' ? 'qkv' : key === reshape.outputs[0] && value === '' ? 'kv' : '';
  const heads = attention.attributes.get('num_heads');
  if (what === '' || heads?.kind !== 'int') return null;
  const size = out / heads.value / what.length;
  // Per head, the parts lie beside each other.
  const rows = [...what].map((_, part) =>
    range(0, heads.value).flatMap((h) => range((h * what.length + part) * size, size)),
  );
  return named(attention, rows, what);
}

const range = (start: number, n: number) => Array.from({ length: n }, (_, i) => start + i);

function only(users: ReadonlyMap<string, readonly Node[]>, name: string): Node | undefined {
  const list = users.get(name);
  return list?.length === 1 ? list[0] : undefined;
}

/** CLIP's attention calls its layers `q_proj`, that of diffusers `to_q`. */
function named(attention: Node, rows: readonly (readonly number[])[], what: string): Packed | null {
  if (rows.flat().some((r) => !Number.isInteger(r))) return null;
  for (const path of [attention.name, ...attention.outputs]) {
    const segments = path.replace(/^\//, '').split('/').slice(0, -1);
    const at = segments.findLastIndex((s) => /attn|attention/i.test(s));
    if (at < 0) continue;
    const leaf = (part: string) => (segments[at] === 'self_attn' ? `${part}_proj` : `to_${part}`);
    const module = [...segments.slice(0, at + 1), leaf(what)].join('.');
    return { module, leaf: leaf(what), parts: [...what].map((p, i) => ({ leaf: leaf(p), rows: rows[i]! })) };
  }
  return null;
}

/** The parts of a packed module under their full names; none where it had to be called otherwise. */
export function partsOf({ leaf, parts }: Packed, module: string): PackedPart[] {
  if (module !== leaf && !module.endsWith(`.${leaf}`)) return [];
  const parent = module.slice(0, module.length - leaf.length);
  return parts.map((p) => ({ module: parent + p.leaf, rows: p.rows }));
}

/** A packed module's adapter as one of each part: they share `down`, and each has its rows of `up`. */
export function unpack(m: LoraModule, parts: readonly PackedPart[]): LoraModule[] {
  const values = toNumbers(m.up);
  const rank = m.up.dims[1]!;
  return parts.map(({ module, rows }) => {
    const up = f32(
      [rows.length, rank],
      rows.flatMap((r) => values.slice(r * rank, (r + 1) * rank)),
    );
    return { ...m, module, stem: module, up };
  });
}

/**
 * Adapters of the parts as one of the packed module; a part without one is left as it is. Of the same rank where they share
 * `down`, as those that `unpack` makes; otherwise the ranks add up, and each part's rows of `up` see its own values only.
 * @param given one per part, in order; at least one is there.
 */
export function pack(
  module: string,
  out: number,
  parts: readonly PackedPart[],
  given: readonly (LoraModule | undefined)[],
): LoraModule {
  const there = given.filter((m) => m !== undefined);
  const [first] = there as [LoraModule];
  const { alpha } = first;
  const inFeatures = first.down.dims[1]!;
  const down = toNumbers(first.down);
  const shared = there.every((m) => m.alpha === alpha && sameTensor(m.down, first.down));
  const rank = shared ? first.down.dims[0]! : there.reduce((sum, m) => sum + m.down.dims[0]!, 0);
  const up = new Float32Array(out * rank);
  let column = 0;
  given.forEach((m, i) => {
    if (!m) return;
    const [values, r] = [toNumbers(m.up), m.down.dims[0]!];
    const factor = shared ? 1 : m.alpha / r;
    parts[i]!.rows.forEach((row, j) => {
      for (let k = 0; k < r; k++) up[row * rank + column + k] = factor * values[j * r + k]!;
    });
    if (!shared) column += r;
  });
  return {
    ...first,
    module,
    down: f32([rank, inFeatures], shared ? down : there.flatMap((m) => toNumbers(m.down))),
    up: f32([out, rank], up),
    alpha: shared ? alpha : rank,
  };
}

function sameTensor(a: Tensor, b: Tensor): boolean {
  if (!dimsEqual(a.dims, b.dims)) return false;
  const others = toNumbers(b);
  return toNumbers(a).every((v, i) => Object.is(v, others[i]));
}
