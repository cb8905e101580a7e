import { f32, type Tensor } from '#models/tensor/tensor.ts';

/** How an array of `[C, H, W]` is cut: squares of cells, a cell being `cell`×`cell` elements of it. */
export interface TilePlan {
  /** Cells of a tile along height and width. */
  readonly tile: readonly [height: number, width: number];
  readonly cell: number;
}

/** Neighbouring tiles share at least a quarter of a tile. */
const OVERLAP = 1 / 4;
/** Of what they share, this part at either end is left out: there a network feels the tile's edge most. */
const MARGIN = 1 / 4;

/** Where tiles of `size` cells begin so that they cover `length`, evenly spread; `[0]` where one is enough. */
export function tileStarts(length: number, size: number): number[] {
  if (size >= length) return [0];
  const step = size - Math.ceil(size * OVERLAP);
  const last = Math.ceil((length - size) / Math.max(1, step));
  return Array.from({ length: last + 1 }, (_, k) => Math.round((k * (length - size)) / last));
}

/**
 * Share of each tile in what is put together, `[tile][length·scale]`: linear from one tile to the next across the middle half of
 * what both cover; the shares of a place sum to 1.
 * @param scale elements per cell.
 */
export function tileShares(length: number, size: number, scale: number): Float64Array[] {
  const starts = tileStarts(length, size);
  /** How far place `p` has gone over from tile `k` to the next, 0…1. */
  const gone = (k: number, p: number): number => {
    if (k < 0) return 1;
    const next = starts[k + 1];
    if (next === undefined) return 0;
    const shared = starts[k]! + size - next;
    const from = next + MARGIN * shared;
    return Math.min(1, Math.max(0, ((p + 0.5) / scale - from) / (shared * (1 - 2 * MARGIN))));
  };
  const shares = starts.map((_, k) =>
    Float64Array.from({ length: length * scale }, (_unused, p) => gone(k - 1, p) * (1 - gone(k, p))),
  );
  // Where three tiles meet, the products fall short of 1.
  for (let p = 0; p < length * scale; p++) {
    const sum = shares.reduce((total, share) => total + share[p]!, 0);
    for (const share of shares) share[p]! /= sum;
  }
  return shares;
}

/**
 * Runs a function from arrays to arrays of another resolution piece by piece and blends the pieces. One piece is held at a time.
 * The same as the whole run where every element of a result depends on what lies within 1/16 of a tile around it.
 * @param input `[C, H, W]`, sides multiples of `cell`.
 * @param run `[C, h, w]` to `[C', h', w']`, the same number of elements per cell everywhere.
 */
export async function inTiles(
  input: Tensor<'float32'>,
  { tile, cell }: TilePlan,
  run: (piece: Tensor<'float32'>, number: number, total: number) => Promise<Tensor<'float32'>>,
): Promise<Tensor<'float32'>> {
  const [, height, width] = input.dims as [number, number, number];
  const [rows, columns] = [height / cell, width / cell];
  const [h, w] = [Math.min(tile[0], rows), Math.min(tile[1], columns)];
  const [tops, lefts] = [tileStarts(rows, h), tileStarts(columns, w)];
  let out:
    | { data: Float32Array; dims: number[]; scale: number; down: Float64Array[]; across: Float64Array[] }
    | undefined;
  for (const [i, top] of tops.entries()) {
    for (const [j, left] of lefts.entries()) {
      const piece = cut(input, top * cell, left * cell, h * cell, w * cell);
      const made = await run(piece, i * lefts.length + j, tops.length * lefts.length);
      if (out === undefined) {
        const scale = made.dims[1]! / h;
        const dims = [made.dims[0]!, rows * scale, columns * scale];
        out = {
          data: new Float32Array(dims[0]! * dims[1]! * dims[2]!),
          dims,
          scale,
          down: tileShares(rows, h, scale),
          across: tileShares(columns, w, scale),
        };
      }
      const { scale } = out;
      add(out, made, out.down[i]!, out.across[j]!, top * scale, left * scale);
    }
  }
  return f32(out!.dims, out!.data);
}

function cut({ data, dims }: Tensor<'float32'>, top: number, left: number, h: number, w: number): Tensor<'float32'> {
  const [channels, height, width] = dims as [number, number, number];
  const piece = new Float32Array(channels * h * w);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < h; y++) {
      const from = (c * height + top + y) * width + left;
      piece.set(data.subarray(from, from + w), (c * h + y) * w);
    }
  }
  return f32([channels, h, w], piece);
}

function add(
  out: { readonly data: Float32Array; readonly dims: readonly number[] },
  piece: Tensor<'float32'>,
  down: Float64Array,
  across: Float64Array,
  top: number,
  left: number,
): void {
  const [channels, height, width] = out.dims as [number, number, number];
  const [, h, w] = piece.dims as [number, number, number];
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < h; y++) {
      const share = down[top + y]!;
      if (share === 0) continue;
      const from = (c * h + y) * w;
      const to = (c * height + top + y) * width + left;
      for (let x = 0; x < w; x++) out.data[to + x]! += share * across[left + x]! * piece.data[from + x]!;
    }
  }
}
