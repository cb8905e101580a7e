import { NorthlightError } from '#models/errors.ts';
import {
  decodeNarrow,
  encodeNarrow,
  isNarrowFloat,
  type NarrowFloat,
  type NarrowInteger,
  PACKED_BITS,
  packBits,
  unpackBits,
} from './narrow.ts';

/** Element types we can hold. float16, bfloat16 and narrower floats are kept as their raw bit patterns. */
export type DType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'bool'
  | 'string'
  | NarrowInteger
  | NarrowFloat;

export interface TypedArrays {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  bool: Uint8Array;
  string: string[];
  int4: Int8Array;
  uint4: Uint8Array;
  int2: Int8Array;
  uint2: Uint8Array;
  float8e4m3fn: Uint8Array;
  float8e4m3fnuz: Uint8Array;
  float8e5m2: Uint8Array;
  float8e5m2fnuz: Uint8Array;
  float8e8m0: Uint8Array;
  float4e2m1: Uint8Array;
}

export type TensorData = TypedArrays[DType];

/** A dense row-major tensor. `data.length` is the product of `dims`; a scalar has `dims = []`. */
export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly dims: readonly number[];
  readonly data: TypedArrays[D];
}

/** Bytes per element, below 1 where several share a byte; strings have none. A whole tensor has `sizeBytes`. */
export const BYTES_PER_ELEMENT: Readonly<Record<DType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  bool: 1,
  string: 0,
  int4: 0.5,
  uint4: 0.5,
  int2: 0.25,
  uint2: 0.25,
  float8e4m3fn: 1,
  float8e4m3fnuz: 1,
  float8e5m2: 1,
  float8e5m2fnuz: 1,
  float8e8m0: 1,
  float4e2m1: 0.5,
};

const CONSTRUCTORS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
  int4: Int8Array,
  uint4: Uint8Array,
  int2: Int8Array,
  uint2: Uint8Array,
  float8e4m3fn: Uint8Array,
  float8e4m3fnuz: Uint8Array,
  float8e5m2: Uint8Array,
  float8e5m2fnuz: Uint8Array,
  float8e8m0: Uint8Array,
  float4e2m1: Uint8Array,
} as const;

/** Number of elements of a shape; 1 for a scalar. */
export function numel(dims: readonly number[]): number {
  let n = 1;
  for (const d of dims) n *= d;
  return n;
}

/** Bytes of `count` elements in a file. */
export const sizeBytes = (dtype: DType, count: number): number => Math.ceil(count * BYTES_PER_ELEMENT[dtype]);

/** A zero-filled (or empty-string-filled) array for `length` elements. */
export function allocate<D extends DType>(dtype: D, length: number): TypedArrays[D] {
  if (dtype === 'string') return new Array<string>(length).fill('') as TypedArrays[D];
  return new CONSTRUCTORS[dtype as Exclude<DType, 'string'>](length) as TypedArrays[D];
}

/** Views `bytes` (copied when misaligned or packed) as elements of `dtype`. Little-endian, as ONNX and safetensors are. */
export function fromBytes<D extends DType>(dtype: D, dims: readonly number[], bytes: Uint8Array): Tensor<D> {
  const n = numel(dims);
  const needed = sizeBytes(dtype, n);
  if (dtype === 'string' || bytes.byteLength !== needed) {
    throw new NorthlightError(
      'tensor/size',
      `A ${dtype} tensor of shape [${dims.join(', ')}] needs ${needed} bytes, but ${bytes.byteLength} are there.`,
      'The file is damaged or was cut short: export or copy it again.',
    );
  }
  if (dtype in PACKED_BITS) {
    const data = allocate(dtype, n);
    unpackBits(dtype, bytes, data as Int8Array | Uint8Array);
    return { dtype, dims, data };
  }
  const size = BYTES_PER_ELEMENT[dtype];
  // A Buffer's own slice would be a view: copy through the constructor.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const make = CONSTRUCTORS[dtype as Exclude<DType, 'string'>];
  return { dtype, dims, data: new make(aligned.buffer as ArrayBuffer, aligned.byteOffset, n) as TypedArrays[D] };
}

/** The raw little-endian bytes of a numeric tensor: a view, but for types that share bytes. */
export function toBytes(t: Tensor): Uint8Array {
  if (t.dtype === 'string') throw new NorthlightError('tensor/string', 'A string tensor has no raw bytes.');
  if (t.dtype in PACKED_BITS) return packBits(t.dtype, t.data as Int8Array | Uint8Array);
  const data = t.data as Exclude<TensorData, string[]>;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

export function tensor<D extends DType>(dtype: D, dims: readonly number[], data: TypedArrays[D]): Tensor<D> {
  if (data.length !== numel(dims)) {
    throw new NorthlightError(
      'tensor/size',
      `Shape [${dims.join(', ')}] needs ${numel(dims)} elements, got ${data.length}.`,
    );
  }
  return { dtype, dims, data };
}

export function zeros<D extends DType>(dtype: D, dims: readonly number[]): Tensor<D> {
  return { dtype, dims, data: allocate(dtype, numel(dims)) };
}

export function f32(dims: readonly number[], values: Float32Array | readonly number[]): Tensor<'float32'> {
  return tensor('float32', dims, values instanceof Float32Array ? values : Float32Array.from(values));
}

export function f64(dims: readonly number[], values: Float64Array | readonly number[]): Tensor<'float64'> {
  return tensor('float64', dims, values instanceof Float64Array ? values : Float64Array.from(values));
}

export function i64(dims: readonly number[], values: readonly (number | bigint)[]): Tensor<'int64'> {
  return tensor(
    'int64',
    dims,
    BigInt64Array.from(values, (v) => BigInt(v)),
  );
}

/** Elements as JavaScript numbers, whatever the dtype (float16 and bfloat16 decoded; int64 beyond 2⁵³ rounds). */
export function toNumbers(t: Tensor): number[] {
  if (t.dtype === 'float16') return Array.from(t.data as Uint16Array, decodeFloat16);
  if (t.dtype === 'bfloat16') return Array.from(t.data as Uint16Array, decodeBFloat16);
  if (t.dtype === 'string') throw new NorthlightError('tensor/string', 'A string tensor has no numbers.');
  const { dtype } = t;
  if (isNarrowFloat(dtype)) return Array.from(t.data as Uint8Array, (pattern) => decodeNarrow(dtype, pattern));
  return Array.from(t.data as ArrayLike<number | bigint>, Number);
}

/**
 * A tensor of `dtype` from JavaScript numbers: integers truncate, bool is ≠ 0, 16-bit and narrower floats round to nearest even. What no
 * int64 or int32 can hold (the logarithm of zero, on a branch that is then thrown away) becomes the lowest one, as x86 does.
 */
export function fromNumbers<D extends DType>(dtype: D, dims: readonly number[], values: readonly number[]): Tensor<D> {
  const data = allocate(dtype, values.length);
  for (let i = 0; i < values.length; i++) (data as unknown[])[i] = encodeElement(dtype, values[i]!);
  return tensor(dtype, dims, data);
}

function encodeElement(dtype: DType, v: number): number | bigint {
  switch (dtype) {
    case 'int64':
      return Math.abs(v) < 2 ** 63 ? BigInt(Math.trunc(v)) : -(2n ** 63n);
    case 'uint64':
      return BigInt(Math.trunc(v));
    case 'int32':
      return Math.abs(v) < 2 ** 31 ? v : -(2 ** 31);
    case 'bool':
      return v !== 0 ? 1 : 0;
    case 'float16':
      return encodeFloat16(v);
    case 'bfloat16':
      return encodeBFloat16(v);
    case 'int4':
    case 'int2':
      return dtype === 'int4' ? (Math.trunc(v) << 28) >> 28 : (Math.trunc(v) << 30) >> 30;
    case 'uint4':
      return Math.trunc(v) & 15;
    case 'uint2':
      return Math.trunc(v) & 3;
    default:
      return isNarrowFloat(dtype) ? encodeNarrow(dtype, v) : v;
  }
}

const scratch = new DataView(new ArrayBuffer(4));

/** IEEE 754 binary16 pattern to number. */
export function decodeFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Number to IEEE 754 binary16 pattern, rounding to nearest even; overflow becomes infinity. */
export function encodeFloat16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  if (Number.isNaN(value)) return 0x7e00;
  const a = Math.abs(value);
  if (a >= 65520) return sign | 0x7c00;
  if (a < 2 ** -14) return sign | roundHalfEven(a * 2 ** 24);
  const exponent = Math.floor(Math.log2(a));
  // log2 may be off by one at powers of two: correct it.
  const e = a < 2 ** exponent ? exponent - 1 : a >= 2 ** (exponent + 1) ? exponent + 1 : exponent;
  const mantissa = roundHalfEven((a / 2 ** e) * 1024);
  return sign | (((e + 15) << 10) + (mantissa - 1024));
}

function roundHalfEven(x: number): number {
  const f = Math.floor(x);
  const d = x - f;
  if (d > 0.5 || (d === 0.5 && f % 2 === 1)) return f + 1;
  return f;
}

export function decodeBFloat16(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

export function encodeBFloat16(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

export function isFloat(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16';
}

export function dimsEqual(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}
