import { type Combination, combineScores, statisticsOf } from '#pipelines/rewards/combine.ts';

/**
 * Several rewards of the same samples as one, compared over these samples; one alone is only weighted.
 * @param columns by reward, higher is better.
 */
export function combinedValues(
  columns: readonly Float64Array[],
  weights: readonly number[],
  combination: Combination,
): Float64Array {
  if (columns.length === 1) return columns[0]!.map((v) => v * weights[0]!);
  return Float64Array.from(combineScores(combination, columns, weights, columns.map(statisticsOf)));
}
