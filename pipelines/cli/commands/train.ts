import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import { defineCommand } from '#pipelines/cli/command.ts';

/** Options of `train`, also what a recipe's `train` takes (with the common ones and `set`). */
export const trainOptions = z.object({
  recipe: z.string().min(1).describe('which model to train'),
  out: z.string().min(1).describe('folder to write the model into'),
  resume: z.boolean().default(false).describe('go on from the last checkpoint in OUT'),
});

async function findRecipe(name: string) {
  const { recipes } = await import('#pipelines/recipes/index.ts');
  const recipe = Object.entries(recipes).find(([key]) => key === name)?.[1];
  if (recipe === undefined) {
    throw new NorthlightError('usage', `There is no recipe "${name}".`, suggestion(name, Object.keys(recipes)));
  }
  return recipe;
}

export const train = defineCommand({
  name: 'train',
  summary: 'train a bundled model from scratch with our own trainer',
  options: trainOptions,
  positionals: ['recipe'],
  async settings({ recipe }) {
    return recipe === undefined ? undefined : (await findRecipe(recipe)).schema;
  },
  async run(options, io) {
    return await (await findRecipe(options.recipe)).train(options, io);
  },
});
