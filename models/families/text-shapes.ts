import { f32, type Tensor } from '#models/tensor/tensor.ts';

/** `[S, D1]`, `[S, D2]`, … → `[S, D1 + D2 + …]`. */
export function joinFeatures(parts: readonly Tensor<'float32'>[]): Tensor<'float32'> {
  if (parts.length === 1) return parts[0]!;
  return intoWidth(
    parts,
    parts.reduce((sum, p) => sum + p.dims[1]!, 0),
  );
}

/** `[S, D]` → `[S, width]`, filled up with zeros. */
export function padFeatures(part: Tensor<'float32'>, width: number): Tensor<'float32'> {
  return part.dims[1]! >= width ? part : intoWidth([part], width);
}

/** `[S1, D]`, `[S2, D]`, … → `[S1 + S2 + …, D]`. */
export function joinSequence(parts: readonly Tensor<'float32'>[]): Tensor<'float32'> {
  const width = parts[0]!.dims[1]!;
  const rows = parts.reduce((sum, p) => sum + p.dims[0]!, 0);
  const out = new Float32Array(rows * width);
  let at = 0;
  for (const { data } of parts) {
    out.set(data, at);
    at += data.length;
  }
  return f32([rows, width], out);
}

function intoWidth(parts: readonly Tensor<'float32'>[], width: number): Tensor<'float32'> {
  const rows = parts[0]!.dims[0]!;
  const out = new Float32Array(rows * width);
  let at = 0;
  for (const { data, dims } of parts) {
    const own = dims[1]!;
    for (let r = 0; r < rows; r++) out.set(data.subarray(r * own, (r + 1) * own), r * width + at);
    at += own;
  }
  return f32([rows, width], out);
}
