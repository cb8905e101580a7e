import type { Rng } from '#models/tensor/rng.ts';
import { PICTURE_SIZE } from '#pipelines/recipes/flora/dataset.ts';

const S = PICTURE_SIZE;
const PLANE = S * S;
const PIXELS = 3 * PLANE;
/** Cells per side of the coarse field of light and shade. */
const CELLS = 4;

/** Normal numbers to take grain from: drawing them anew for every picture would cost more than the rest together. */
export function grainBank(rng: Rng): Float32Array {
  return rng.fillNormal(new Float32Array(16 * PIXELS));
}

/**
 * One picture as a diffusion model might have spoilt it: shifted by up to 2 pixels, softened, lighter or darker, with more or
 * less contrast, unevenly lit, noisy. Every change of light is the same in all three channels, so that no colour turns into
 * another. The same `rng` and `bank` give the same picture.
 * @param pixels `[3, 64, 64]` bytes from `at` on.
 * @param bank from {@link grainBank}.
 * @param out takes `[3, 64, 64]` in 0…1 from `offset` on.
 */
export function augment(
  pixels: Uint8Array,
  at: number,
  rng: Rng,
  bank: Float32Array,
  out: Float32Array,
  offset: number,
): void {
  const dx = rng.int(5) - 2;
  const dy = rng.int(5) - 2;
  const contrast = 0.9 + 0.2 * rng.uniform();
  const brightness = 0.12 * (rng.uniform() - 0.5);
  const blur = rng.uniform() < 0.5 ? 0.25 * rng.uniform() : 0;
  const shade = shading(rng, 0.05 * rng.uniform());
  const noise = rng.uniform() < 0.6 ? 0.07 * rng.uniform() : 0;
  const grain = rng.int(bank.length - PIXELS);
  const plane = new Float32Array(PLANE);
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < S; y++) {
      const row = at + c * PLANE + clamp(y + dy, S - 1) * S;
      for (let x = 0; x < S; x++) plane[y * S + x] = pixels[row + clamp(x + dx, S - 1)]! / 255;
    }
    if (blur > 0) soften(plane, blur);
    for (let p = 0; p < PLANE; p++) {
      const lit = (plane[p]! - 0.5) * contrast + 0.5 + brightness + shade[p]!;
      out[offset + c * PLANE + p] = clamp(lit + noise * bank[grain + c * PLANE + p]!, 1);
    }
  }
}

const clamp = (x: number, high: number): number => Math.min(Math.max(x, 0), high);

/** A smooth field `[64, 64]`: normal numbers of deviation `strength` at the corners of a coarse grid, bilinear between. */
function shading(rng: Rng, strength: number): Float32Array {
  const corners = rng.fillNormal(new Float32Array((CELLS + 1) ** 2));
  const field = new Float32Array(PLANE);
  const cell = S / CELLS;
  for (let y = 0; y < S; y++) {
    const j = Math.floor(y / cell);
    const v = y / cell - j;
    for (let x = 0; x < S; x++) {
      const i = Math.floor(x / cell);
      const u = x / cell - i;
      const k = j * (CELLS + 1) + i;
      const top = corners[k]! * (1 - u) + corners[k + 1]! * u;
      const bottom = corners[k + CELLS + 1]! * (1 - u) + corners[k + CELLS + 2]! * u;
      field[y * S + x] = strength * (top * (1 - v) + bottom * v);
    }
  }
  return field;
}

/** The kernel (k, 1 − 2k, k) along both axes, in place; edges repeat. */
function soften(plane: Float32Array, k: number): void {
  for (const [step, across] of [
    [1, S],
    [S, 1],
  ] as const) {
    for (let line = 0; line < S; line++) {
      const start = line * across;
      let before = plane[start]!;
      for (let i = 0; i < S; i++) {
        const p = start + i * step;
        const here = plane[p]!;
        const after = i + 1 < S ? plane[p + step]! : here;
        plane[p] = k * before + (1 - 2 * k) * here + k * after;
        before = here;
      }
    }
  }
}
