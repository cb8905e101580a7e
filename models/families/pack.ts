import { f32, type Tensor } from '#models/tensor/tensor.ts';

/**
 * A latent `[C, H, W]` as tokens `[H/2·W/2, 4·C]`, one per 2×2 patch in rows; a token holds channel by channel its patch's four
 * elements in rows. The order of the Flux reference implementation.
 */
export function packLatents(latent: Float32Array, [c, h, w]: readonly [number, number, number]): Float32Array {
  const out = new Float32Array(latent.length);
  eachPatchElement([c, h, w], (token, plain) => {
    out[token] = latent[plain]!;
  });
  return out;
}

/** The inverse of {@link packLatents}. */
export function unpackLatents(tokens: Float32Array, [c, h, w]: readonly [number, number, number]): Float32Array {
  const out = new Float32Array(tokens.length);
  eachPatchElement([c, h, w], (token, plain) => {
    out[plain] = tokens[token]!;
  });
  return out;
}

/** Where the tokens stand: `[H/2·W/2, 3]`, each 0, row, column. `height` and `width` are of the latent. */
export function imagePositions(height: number, width: number): Tensor<'float32'> {
  const [rows, columns] = [height / 2, width / 2];
  const out = new Float32Array(rows * columns * 3);
  for (let i = 0; i < rows * columns; i++) out.set([0, Math.floor(i / columns), i % columns], 3 * i);
  return f32([rows * columns, 3], out);
}

/** Calls `visit` with the place of each element among the tokens and in the plain latent. */
function eachPatchElement(
  [c, h, w]: readonly [number, number, number],
  visit: (token: number, plain: number) => void,
): void {
  const [rows, columns] = [h / 2, w / 2];
  for (let ch = 0; ch < c; ch++) {
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        const token = (y >> 1) * columns + (x >> 1);
        visit((token * c + ch) * 4 + (y & 1) * 2 + (x & 1), (ch * h + y) * w + x);
      }
    }
  }
  if (!Number.isInteger(rows) || !Number.isInteger(columns)) throw new RangeError('A packed latent has even sides.');
}
