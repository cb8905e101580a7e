import { type DType, decodeFloat16, encodeBFloat16, encodeFloat16, f32, type Tensor, toNumbers } from './tensor.ts';

export type HalfType = 'float16' | 'bfloat16';

/** Whether numbers of this type have 16 bits: float16 has 11 significant bits and ends at 65504, bfloat16 8 and float32's range. */
export function isHalf(dtype: DType): dtype is HalfType {
  return dtype === 'float16' || dtype === 'bfloat16';
}

/** Every float16 pattern as a number: a lookup is many times faster than arithmetic on each element. */
let decoded: Float32Array | undefined;

/** A floating-point tensor in float32: exact from 16-bit floats, rounded from float64, itself if it is float32 already. */
export function toFloat32(t: Tensor): Tensor<'float32'> {
  if (t.dtype === 'float32') return t as Tensor<'float32'>;
  if (!isHalf(t.dtype)) return f32(t.dims, toNumbers(t));
  const bits = t.data as Uint16Array;
  const out = new Float32Array(bits.length);
  if (t.dtype === 'bfloat16') {
    // A bfloat16 is the upper half of a float32.
    const words = new Uint32Array(out.buffer);
    for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  } else {
    decoded ??= Float32Array.from({ length: 65536 }, (_, pattern) => decodeFloat16(pattern));
    for (let i = 0; i < bits.length; i++) out[i] = decoded[bits[i]!]!;
  }
  return f32(t.dims, out);
}

/** A floating-point tensor in 16 bits, each number rounded to the nearest (to even between two); too large is infinite. */
export function toHalf<D extends HalfType>(t: Tensor, dtype: D): Tensor<D> {
  if (t.dtype === dtype) return t as Tensor<D>;
  const encode = dtype === 'float16' ? encodeFloat16 : encodeBFloat16;
  const numbers = t.dtype === 'float64' || t.dtype === 'float32' ? (t.data as Float32Array) : toFloat32(t).data;
  const data = Uint16Array.from(numbers, encode);
  return { dtype, dims: t.dims, data } as unknown as Tensor<D>;
}
