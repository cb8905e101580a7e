import { z } from 'zod';
import { defineReward } from './built-in.ts';
import { oklab } from './oklab.ts';

const colours = z
  .string()
  .regex(/^#?[0-9a-f]{6}(\+#?[0-9a-f]{6})*$/i, 'must be colours such as #204080+#f0e0c0')
  .transform((text) =>
    text.split('+').map((colour) => {
      const value = Number.parseInt(colour.replace('#', ''), 16);
      return oklab(value >> 16, (value >> 8) & 255, value & 255);
    }),
  );

export const paletteDistance = defineReward({
  name: 'palette-distance',
  description:
    'Mean distance of the pixels from the nearest of some colours, in Oklab (Ottosson 2020): 0 all of them, 1 black for white.',
  options: z.strictObject({ colours: colours.describe('joined by +, such as #204080+#f0e0c0') }),
  positional: 'colours',
  higherIsBetter: false,
  score: ({ rgb }, { colours: palette }) => {
    const known = new Map<number, number>();
    let sum = 0;
    for (let i = 0; i < rgb.length; i += 3) {
      const [r, g, b] = [rgb[i]!, rgb[i + 1]!, rgb[i + 2]!];
      const key = (r << 16) | (g << 8) | b;
      let distance = known.get(key);
      if (distance === undefined) {
        const [L, A, B] = oklab(r, g, b);
        distance = Math.min(...palette.map(([l, a, bb]) => Math.hypot(L - l, A - a, B - bb)));
        known.set(key, distance);
      }
      sum += distance;
    }
    return sum / (rgb.length / 3);
  },
});
