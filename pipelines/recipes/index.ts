import { floraSchema, trainFlora } from './flora/train.ts';
import { floraJudgeSchema, trainFloraJudge } from './flora-judge/train.ts';
import type { Recipe } from './types.ts';

/** Everything `northlight train` can make. */
export const recipes: Readonly<Record<string, Recipe>> = {
  flora: {
    name: 'flora',
    summary: 'text-conditioned pixel diffusion of flowers, 64×64',
    schema: floraSchema,
    train: (options, io) => trainFlora({ ...options, set: floraSchema.parse(options.set) }, io),
  },
  'flora-judge': {
    name: 'flora-judge',
    summary: 'reads the attributes of a flower picture, for prompt agreement',
    schema: floraJudgeSchema,
    train: (options, io) => trainFloraJudge({ ...options, set: floraJudgeSchema.parse(options.set) }, io),
  },
};
