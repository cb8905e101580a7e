import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';
import { broadcastDims, NodeAttributes } from '#models/ops/define.ts';
import { operatorOf } from '#models/ops/index.ts';
import { type DType, dimsEqual, fromNumbers, numel, toNumbers } from '#models/tensor/tensor.ts';

/**
 * Values that are one number everywhere, by name. Old exports add 0 · ConstantOfShape of the size of all attention scores
 * to them; the runtime would make those gigabytes of zeros when it opens the model.
 */
export type Uniforms = Map<string, number>;

/** Operators that only move or repeat elements. */
const MOVES = new Set([
  'Expand',
  'Reshape',
  'Transpose',
  'Squeeze',
  'Unsqueeze',
  'Flatten',
  'Tile',
  'Slice',
  'Identity',
]);
const ELEMENTWISE = new Set(['Add', 'Sub', 'Mul', 'Div', 'Where']);

/** Notes when the outputs of a node that was just placed are uniform. */
export function noteUniform(
  op: GraphBuilder,
  uniforms: Uniforms,
  node: Node,
  inputs: readonly (Value | null)[],
  outputs: readonly Value[],
): void {
  if (node.domain !== '' || outputs.length !== 1) return;
  const y = outputs[0]!;
  if (numel(y.dims) <= 1) return;
  if (node.opType === 'ConstantOfShape') {
    const attrs = new NodeAttributes(node);
    uniforms.set(y.name, attrs.has('value') ? toNumbers(attrs.tensor('value'))[0]! : 0);
  } else if (MOVES.has(node.opType)) {
    const v = uniformOf(op, uniforms, inputs[0]);
    if (v !== undefined) uniforms.set(y.name, v);
  } else if (ELEMENTWISE.has(node.opType) || node.opType === 'Cast') {
    const values = inputs.map((v) => uniformOf(op, uniforms, v));
    if (values.some((v) => v === undefined)) return;
    const scalars = inputs.map((v, i) => fromNumbers(v!.dtype, [], [values[i]!]));
    const folded = operatorOf(node).fold?.(scalars, new NodeAttributes(node))[0];
    if (folded) uniforms.set(y.name, toNumbers(folded)[0]!);
  }
}

/**
 * The inputs of an elementwise node with uniform tensors replaced by scalars, where the others alone give its shape.
 * @returns one value in place of the whole node when it would add 0 or multiply by 1.
 */
export function shrinkUniform(
  op: GraphBuilder,
  uniforms: Uniforms,
  node: Node,
  inputs: readonly (Value | null)[],
): readonly (Value | null)[] | Value {
  if (uniforms.size === 0 || node.domain !== '' || !ELEMENTWISE.has(node.opType)) return inputs;
  const given = inputs as readonly Value[];
  const full = broadcastDims(given.map((v) => v.dims));
  let current = [...given];
  given.forEach((v, i) => {
    const number = uniforms.get(v.name);
    if (number === undefined) return;
    const others = current.filter((_, k) => k !== i).map((o) => o.dims);
    if (dimsEqual(broadcastDims(others), full)) current = current.with(i, op.constant(scalarOf(v.dtype, number)));
  });
  const [a, b] = current as [Value, Value];
  const replaced = (v: Value, i: number) => v !== given[i] && toNumbers(op.constantOf(v.name)!)[0];
  const neutral = node.opType === 'Add' || node.opType === 'Sub' ? 0 : node.opType === 'Where' ? undefined : 1;
  if (neutral === undefined) return current;
  if (replaced(b, 1) === neutral && dimsEqual(a.dims, full)) return a;
  const commutes = node.opType === 'Add' || node.opType === 'Mul';
  if (commutes && replaced(a, 0) === neutral && dimsEqual(b.dims, full)) return b;
  return current;
}

const scalarOf = (dtype: DType, value: number) => fromNumbers(dtype, [], [value]);

function uniformOf(op: GraphBuilder, uniforms: Uniforms, v: Value | null | undefined): number | undefined {
  if (!v) return undefined;
  const known = uniforms.get(v.name);
  if (known !== undefined) return known;
  const t = op.constantOf(v.name);
  return t?.data.length === 1 ? toNumbers(t)[0] : undefined;
}
