import { enhancerOracleSchema, trainEnhancerOracle } from './enhancer-dna/oracle-train.ts';
import { enhancerDnaSchema, trainEnhancerDna } from './enhancer-dna/train.ts';
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
  'enhancer-dna': {
    name: 'enhancer-dna',
    summary: 'masked diffusion of synthetic enhancer DNA, 200 letters, for three cell lines',
    schema: enhancerDnaSchema,
    train: (options, io) => trainEnhancerDna({ ...options, set: enhancerDnaSchema.parse(options.set) }, io),
  },
  'enhancer-oracle': {
    name: 'enhancer-oracle',
    summary: 'says how active synthetic enhancer DNA is, from one half of a simulated assay',
    schema: enhancerOracleSchema,
    train: (options, io) => trainEnhancerOracle({ ...options, set: enhancerOracleSchema.parse(options.set) }, io),
  },
};
