import { NorthlightError } from '#models/errors.ts';
import type { SignaturePort } from '#models/families/types.ts';
import { isHalf, toFloat32, toHalf } from '#models/tensor/half.ts';
import { type DType, dimsEqual, f32, fromNumbers, isFloat, type Tensor } from '#models/tensor/tensor.ts';

/** Numbers in the type a port wants: rounded to the nearest integer or 16-bit float. */
export function toPort(dtype: DType, t: Tensor<'float32'>): Tensor {
  if (dtype === 'float32') return t;
  if (isHalf(dtype)) return toHalf(t, dtype);
  const numbers = Array.from(t.data);
  return fromNumbers(dtype, t.dims, isFloat(dtype) ? numbers : numbers.map(Math.round));
}

/** Whether a port takes one entry per sample along its first axis, given what one sample has for it. */
export function isBatched(port: SignaturePort, one: Tensor): boolean {
  return port.dims.length === one.dims.length + 1;
}

/**
 * What samples have for a port, stacked along a new first axis; where the port has no batch axis, what all of them share. One
 * element fits a port of any rank.
 * @throws {NorthlightError} `model/signature` when the ranks cannot be reconciled.
 */
export function stackFor(port: SignaturePort, parts: readonly Tensor<'float32'>[]): Tensor {
  const [first] = parts as [Tensor<'float32'>];
  if (isBatched(port, first)) {
    const out = new Float32Array(parts.length * first.data.length);
    for (const [i, p] of parts.entries()) out.set(p.data, i * first.data.length);
    return toPort(port.dtype, f32([parts.length, ...first.dims], out));
  }
  if (port.dims.length === first.dims.length) return toPort(port.dtype, first);
  throw new NorthlightError(
    'model/signature',
    `The denoiser's input "${port.name}" has ${port.dims.length} axes; what it is given has ${first.dims.length}, or one more.`,
    'Export the model again with a current exporter.',
  );
}

/** A timestep for every row; one for all where the port has no axes, or one of size 1. */
export function timestepFor(port: SignaturePort, rows: number, timestep: number): Tensor {
  const [first] = port.dims;
  const count = first === undefined ? 1 : typeof first === 'number' && first > 0 ? first : rows;
  return toPort(port.dtype, f32(first === undefined ? [] : [count], new Float32Array(count).fill(timestep)));
}

/** The numbers of an output, whatever floating-point type it has. */
export function outputNumbers(t: Tensor): Float32Array {
  return toFloat32(t).data;
}

/** Whether two samples' inputs can go through the network in one run. */
export function sameShapes(a: ReadonlyMap<string, Tensor>, b: ReadonlyMap<string, Tensor>): boolean {
  return a.size === b.size && [...a].every(([name, t]) => dimsEqual(t.dims, b.get(name)?.dims ?? [-1]));
}
