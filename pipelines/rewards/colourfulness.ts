import { z } from 'zod';
import { defineReward } from './built-in.ts';

/**
 * Hasler and Süsstrunk 2003, "Measuring colourfulness in natural images", eq. for M̂⁽³⁾: with rg = R − G and yb = (R + G)/2 − B in
 * bytes, √(σ²_rg + σ²_yb) + 0.3·√(μ²_rg + μ²_yb), population variances.
 */
export const colourfulness = defineReward({
  name: 'colourfulness',
  description:
    'Hasler and Süsstrunk 2003: 0 for greys, about 33 for an averagely and 109 for an extremely colourful photograph.',
  options: z.strictObject({}),
  score: ({ rgb }) => {
    const n = rgb.length / 3;
    const sums = { rg: 0, yb: 0, rgSquares: 0, ybSquares: 0 };
    for (let i = 0; i < rgb.length; i += 3) {
      const rg = rgb[i]! - rgb[i + 1]!;
      const yb = (rgb[i]! + rgb[i + 1]!) / 2 - rgb[i + 2]!;
      sums.rg += rg;
      sums.yb += yb;
      sums.rgSquares += rg * rg;
      sums.ybSquares += yb * yb;
    }
    const meansSquared = (sums.rg / n) ** 2 + (sums.yb / n) ** 2;
    // Sums of whole and half numbers are exact; only the quotients round.
    const variances = Math.max(0, (sums.rgSquares + sums.ybSquares) / n - meansSquared);
    return Math.sqrt(variances) + 0.3 * Math.sqrt(meansSquared);
  },
});
