import { floraSchema, trainFlora } from './flora/train.ts';
import type { Recipe } from './types.ts';

/** Everything `northlight train` can make. */
export const recipes: Readonly<Record<string, Recipe>> = {
  flora: {
    name: 'flora',
    summary: 'text-conditioned pixel diffusion of flowers, 64×64',
    schema: floraSchema,
    train: (options, io) => trainFlora({ ...options, set: floraSchema.parse(options.set) }, io),
  },
};
