import { f32, type Tensor } from '#models/tensor/tensor.ts';

/**
 * The guidance scale as a network distilled with it reads it: w = 1000·(scale − 1) as sines, then cosines, of w·10000^(−i/(half − 1)).
 * Luo et al. 2023 (arXiv:2310.04378), section 4.2, as their released code has it.
 */
export function guidanceEmbedding(scale: number, width: number): Tensor<'float32'> {
  const half = Math.floor(width / 2);
  const w = 1000 * (scale - 1);
  const out = new Float32Array(width);
  for (let i = 0; i < half; i++) {
    const angle = w * Math.exp((-i * Math.log(10000)) / (half - 1));
    out[i] = Math.sin(angle);
    out[half + i] = Math.cos(angle);
  }
  return f32([width], out);
}
