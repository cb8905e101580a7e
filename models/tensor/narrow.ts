/**
 * Element types of 8 bits and fewer that JavaScript has no array for. Floats are held as their bit patterns, one to a byte;
 * integers and patterns of 4 and 2 bits are one to an element in memory and packed in files, the first in the lowest bits.
 */
export type NarrowFloat =
  | 'float8e4m3fn'
  | 'float8e4m3fnuz'
  | 'float8e5m2'
  | 'float8e5m2fnuz'
  | 'float8e8m0'
  | 'float4e2m1';
export type NarrowInteger = 'int4' | 'uint4' | 'int2' | 'uint2';

/** Bits per element of the types that share bytes. */
export const PACKED_BITS: Readonly<Partial<Record<string, number>>> = {
  int4: 4,
  uint4: 4,
  float4e2m1: 4,
  int2: 2,
  uint2: 2,
};

/** Splits bytes into patterns of a few bits, signed ones as numbers. */
export function unpackBits(dtype: string, bytes: Uint8Array, out: Int8Array | Uint8Array): void {
  const bits = PACKED_BITS[dtype]!;
  const perByte = 8 / bits;
  const shift = 32 - bits;
  const signed = dtype.startsWith('int');
  for (let i = 0; i < out.length; i++) {
    const pattern = bytes[Math.floor(i / perByte)]! >> ((i % perByte) * bits);
    out[i] = signed ? (pattern << shift) >> shift : pattern & ((1 << bits) - 1);
  }
}

/** The reverse of `unpackBits`; what is left of the last byte is zero. */
export function packBits(dtype: string, values: ArrayLike<number>): Uint8Array {
  const bits = PACKED_BITS[dtype]!;
  const perByte = 8 / bits;
  const out = new Uint8Array(Math.ceil(values.length / perByte));
  for (let i = 0; i < values.length; i++) {
    const at = Math.floor(i / perByte);
    out[at] = out[at]! | ((values[i]! & ((1 << bits) - 1)) << ((i % perByte) * bits));
  }
  return out;
}

interface Format {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /** What stands at the end of the range: IEEE's infinities, one NaN of each sign, or nothing but finite numbers. */
  readonly special: 'ieee' | 'nan' | 'unsigned zero' | 'finite';
}

/** ONNX, "Float stored in 8 bits" and "4 bit": `fn` has no infinities, `uz` neither those nor a negative zero. */
const FORMATS: Readonly<Record<Exclude<NarrowFloat, 'float8e8m0'>, Format>> = {
  float8e4m3fn: { exponentBits: 4, mantissaBits: 3, bias: 7, special: 'nan' },
  float8e4m3fnuz: { exponentBits: 4, mantissaBits: 3, bias: 8, special: 'unsigned zero' },
  float8e5m2: { exponentBits: 5, mantissaBits: 2, bias: 15, special: 'ieee' },
  float8e5m2fnuz: { exponentBits: 5, mantissaBits: 2, bias: 16, special: 'unsigned zero' },
  float4e2m1: { exponentBits: 2, mantissaBits: 1, bias: 1, special: 'finite' },
};

export function isNarrowFloat(dtype: string): dtype is NarrowFloat {
  return dtype === 'float8e8m0' || dtype in FORMATS;
}

/** A bit pattern as the number it stands for. */
export function decodeNarrow(dtype: NarrowFloat, pattern: number): number {
  if (dtype === 'float8e8m0') return pattern === 255 ? Number.NaN : 2 ** (pattern - 127);
  const { exponentBits, mantissaBits, bias, special } = FORMATS[dtype];
  const sign = (pattern >> (exponentBits + mantissaBits)) & 1 ? -1 : 1;
  const exponent = (pattern >> mantissaBits) & ((1 << exponentBits) - 1);
  const mantissa = pattern & ((1 << mantissaBits) - 1);
  const last = (1 << exponentBits) - 1;
  if (special === 'unsigned zero' && pattern === 0x80) return Number.NaN;
  if (special === 'ieee' && exponent === last) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (special === 'nan' && exponent === last && mantissa === (1 << mantissaBits) - 1) return Number.NaN;
  const fraction = mantissa / (1 << mantissaBits);
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

/** The pattern of the nearest number of the type, even ones on ties; beyond the range the largest finite one. */
export function encodeNarrow(dtype: NarrowFloat, value: number): number {
  const count = dtype === 'float4e2m1' ? 16 : 256;
  let best = 0;
  let distance = Number.POSITIVE_INFINITY;
  for (let p = 0; p < count; p++) {
    const v = decodeNarrow(dtype, p);
    if (Object.is(v, value)) return p;
    const d = Math.abs(v - value);
    if (d < distance || (d === distance && p % 2 === 0 && best % 2 !== 0)) [best, distance] = [p, d];
  }
  return best;
}
