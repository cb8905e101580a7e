import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { normalizeAxis, type OpDefinition } from '#models/ops/define.ts';
import { selfAttention } from './attention.ts';
import { badShape, contribOp, refuse, refuseAttribute, refuseInput } from './contrib-op.ts';

/** (x − zero point)·scale in the scale's type; scale and zero point broadcast to x. */
function dequantize(op: GraphBuilder, x: Value, scale: Value, zeroPoint: Value | undefined): Value {
  const real = op.cast(x, scale.dtype);
  return op.mul(zeroPoint ? op.sub(real, op.cast(zeroPoint, scale.dtype)) : real, scale);
}

/** Numbers of `bits` bits packed along the last axis, low bits first: `[…, n]` bytes → `[…, n·8/bits]` int32. */
function unpack(op: GraphBuilder, bytes: Value, bits: number): Value {
  const each = 8 / bits;
  let rest = op.cast(bytes, 'int32');
  if (each === 1) return rest;
  const base = op.scalar(2 ** bits, 'int32');
  const digits = Array.from({ length: each }, (_, i) => {
    const digit = i === each - 1 ? rest : op.apply('Mod', [rest, base]);
    if (i < each - 1) rest = op.div(rest, base);
    return op.reshape(digit, [...bytes.dims, 1]);
  });
  return op.reshape(op.concat(digits, bytes.dims.length), [...bytes.dims.slice(0, -1), bytes.dims.at(-1)! * each]);
}

/**
 * A·Wᵀ + bias with W `[N, K]` quantised in blocks along K: B `[N, blocks, bytes]`, scales and zero points `[N, blocks]`
 * (zero points packed like B, or in A's type). The weight is frozen: it is an integer, so no gradient reaches it.
 */
const matMulNBits = contribOp({
  opType: 'MatMulNBits',
  infer: ({ x, attrs }) => [{ dtype: x(0).dtype, dims: [...x(0).dims.slice(0, -1), attrs.int('N')] }],
  decompose: (c) => {
    const { op, x, attrs, inputs } = c;
    const [n, k, size, bits] = [attrs.int('N'), attrs.int('K'), attrs.int('block_size'), attrs.int('bits', 4)];
    const blocks = Math.ceil(k / size);
    if (![2, 4, 8].includes(bits))
      refuse(c, `has the attribute bits = ${bits}`, 'Quantise the model to 2, 4 or 8 bits.');
    refuseAttribute(c, 'weight_prepacked', 0, 'Save the model before its weights are packed for one GPU.');
    refuseInput(c, 4, 'g_idx', 'Quantise the model again without reordering (desc_act off).');
    const { dtype } = x(2);
    const digits = op.reshape(unpack(op, x(1), bits), [n, blocks, size]);
    const zero = inputs[3];
    let zeroPoints: Value;
    if (!zero) {
      zeroPoints = op.scalar(2 ** (bits - 1), dtype);
    } else {
      const rows =
        zero.dtype === 'uint8' ? unpack(op, op.reshape(zero, [n, Math.ceil((blocks * bits) / 8)]), bits) : zero;
      const flat = op.reshape(rows, [n, rows.dims.reduce((p, d) => p * d, 1) / n]);
      zeroPoints = op.reshape(flat.dims[1] === blocks ? flat : op.slice(flat, 1, 0, blocks), [n, blocks, 1]);
    }
    const real = dequantize(op, digits, op.reshape(x(2), [n, blocks, 1]), zeroPoints);
    const padded = op.reshape(real, [n, blocks * size]);
    const weight = op.transposeLast(blocks * size === k ? padded : op.slice(padded, 1, 0, k));
    const y = op.matmul(x(0), op.cast(weight, x(0).dtype));
    return [inputs[5] ? op.add2(y, inputs[5]) : y];
  },
});

/** (x − zero point)·scale, per tensor or along one axis. */
const dequantizeLinear = contribOp({
  opType: 'DequantizeLinear',
  infer: ({ x }) => [{ dtype: x(1).dtype, dims: x(0).dims }],
  decompose: (c) => {
    const { op, x, inputs, attrs } = c;
    const rank = x(0).dims.length;
    const along = (v: Value): Value => {
      const count = v.dims.reduce((p, d) => p * d, 1);
      if (count === 1) return op.reshape(v, []);
      const axis = normalizeAxis(attrs.int('axis', 1), rank);
      if (count !== x(0).dims[axis])
        badShape(c, `${count} scales or zero points for axis ${axis} of [${x(0).dims.join(', ')}]`);
      return op.reshape(
        v,
        x(0).dims.map((_, i) => (i === axis ? count : 1)),
      );
    };
    return [dequantize(op, x(0), along(x(1)), inputs[2] && along(inputs[2]))];
  },
});

/** Self-attention whose input and projection are 8-bit; everything after the projection is in floating point. */
const qAttention = contribOp({
  opType: 'QAttention',
  infer: ({ x, attrs }) => {
    const [b, s] = x(0).dims as [number, number];
    const hidden = x(1).dims[1]! / 3;
    const heads = attrs.int('num_heads');
    return [
      { dtype: x(2).dtype, dims: [b, s, hidden] },
      { dtype: x(2).dtype, dims: [2, b, heads, s, hidden / heads] },
    ];
  },
  decompose: (c) => {
    const { op, x, inputs } = c;
    refuseInput(c, 8, 'past', 'Export the model without a key/value cache (use_cache=False).');
    refuseAttribute(c, 'do_rotary', 0, 'Export the model with the rotary embedding as a node of its own.');
    refuseAttribute(c, 'past_present_share_buffer', 0, 'Export the model without a key/value cache (use_cache=False).');
    const input = dequantize(op, x(0), x(3), inputs[6]);
    const weight = dequantize(op, x(1), x(4), inputs[7]);
    return selfAttention(c, op.add2(op.matmul(input, weight), x(2)), { mask: inputs[5], bias: undefined });
  },
});

export const quantizedOps: readonly OpDefinition[] = [matMulNBits, dequantizeLinear, qAttention];
