import type { GuidedStep } from '#pipelines/engine/contract.ts';

type Step = Pick<GuidedStep, 'values' | 'survivors' | 'parents'>;

/**
 * The place, at each step, of the one that the best of the last survivors comes from; null where that was not told. Best of the last:
 * where several went on, the one worth most.
 */
export function lineageOf(steps: readonly Step[]): (number | null)[] {
  const path: (number | null)[] = steps.map(() => null);
  const last = steps.at(-1);
  if (!last) return path;
  let place: number | null = last.survivors.reduce<number | null>(
    (best, s) => (best === null || last.values[s]! > last.values[best]! ? s : best),
    null,
  );
  for (let k = steps.length - 1; k >= 0 && place !== null; k--) {
    path[k] = place;
    place = steps[k]!.parents[place] ?? null;
  }
  return path;
}
