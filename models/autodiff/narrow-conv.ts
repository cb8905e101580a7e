import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';
import { adjointKernel, geometry } from '#models/ops/conv.ts';
import { NodeAttributes } from '#models/ops/define.ts';
import { isFloat, numel } from '#models/tensor/tensor.ts';

/** A convolution is narrow when it has at least so many times more input than output channels. */
const NARROW = 4;

/**
 * A trained convolution to few channels (the first half of an adapter), written as the transposed convolution with the
 * adjoint kernel: the same sum, but the runtime multiplies first and spreads the few results, where a convolution copies
 * kh·kw times its many inputs. Frozen kernels stay: the runtime has a blocked layout for constants.
 * @returns null for any other node.
 */
export function narrowConv(op: GraphBuilder, node: Node, inputs: readonly (Value | null)[]): Value | null {
  if (node.opType !== 'Conv' || node.domain !== '') return null;
  const [x, w, b] = inputs as readonly [Value, Value, (Value | null)?];
  if (op.initializers.has(w.name) && !op.opaque.has(w.name)) return null;
  const g = geometry(new NodeAttributes(node), w.dims.slice(2), x.dims.slice(2));
  if (!isFloat(x.dtype) || g.group !== 1 || numel(g.kernel) === 1 || g.strides.some((s) => s !== 1)) return null;
  if (w.dims[0]! * NARROW > w.dims[1]!) return null;
  const pads = [g.padBegin, g.padEnd].flatMap((p) => p.map((v, i) => g.dilations[i]! * (g.kernel[i]! - 1) - v));
  if (pads.some((p) => p < 0)) return null;
  return op.apply('ConvTranspose', b ? [x, adjointKernel(op, w), b] : [x, adjointKernel(op, w)], {
    kernel_shape: g.kernel,
    strides: g.strides,
    dilations: g.dilations,
    pads,
    group: 1,
  });
}
