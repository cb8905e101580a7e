import type { RecipeOptions } from '#pipelines/recipes/types.ts';

/** The command line that makes the same model again; settings at their default are left out. */
export function commandOf(
  recipe: string,
  { seed, threads, set }: RecipeOptions<Readonly<Record<string, string | number>>>,
  defaults: Readonly<Record<string, string | number>>,
): string {
  const changed = Object.entries(set).filter(([key, value]) => value !== defaults[key]);
  return [
    `northlight train ${recipe} --out DIR`,
    `--seed ${seed}`,
    ...(threads ? [`--threads ${threads}`] : []),
    ...changed.map(([key, value]) => `--set ${key}=${value}`),
  ].join(' ');
}
