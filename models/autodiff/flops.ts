import type { TypedShape } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';
import { numel } from '#models/tensor/tensor.ts';

export type TypeOf = (name: string) => TypedShape | undefined;

/** Multiplications and additions of the products in a node; 0 for what only passes over its values. Loop bodies not included. */
export function productFlops(node: Node, typeOf: TypeOf): number {
  const dims = (i: number) => typeOf(node.inputs[i] ?? '')?.dims;
  const [a, b] = [dims(0), dims(1)];
  const y = typeOf(node.outputs[0] ?? '')?.dims;
  if (!a || !b || !y) return 0;
  const flag = (name: string) => node.attributes.get(name)?.value === 1;
  switch (node.opType) {
    case 'MatMul':
      return 2 * numel(y) * a.at(-1)!;
    case 'FusedMatMul':
      return 2 * numel(y) * a.at(flag('transA') ? -2 : -1)!;
    case 'Gemm':
      return 2 * numel(y) * a[flag('transA') ? 0 : 1]!;
    case 'Conv':
    case 'FusedConv':
      return 2 * numel(y) * numel(b.slice(1));
    case 'ConvTranspose':
      return 2 * numel(a) * numel(b.slice(1));
    case 'MultiHeadAttention':
      return 4 * numel(a) * b[1]!;
    default:
      return 0;
  }
}
