import type { GuidedStep } from '#pipelines/engine/contract.ts';

type Step = Pick<GuidedStep, 'values' | 'survivors' | 'parents'>;

/**
 * The place, at each step, of the one that the result comes from; null where that was not told. Where several went on at the last
 * step, the result is the one worth as much as it (particles are drawn by weight), or while that is not known the one worth most.
 */
export function lineageOf(steps: readonly Step[], result: number | null = null): (number | null)[] {
  const path: (number | null)[] = steps.map(() => null);
  const last = steps.at(-1);
  if (!last) return path;
  const own = result === null ? -1 : last.values.indexOf(result);
  const worth = (s: number) => last.values[s] ?? Number.NEGATIVE_INFINITY;
  const best = last.survivors.reduce<number | null>(
    (most, s) => (most === null || worth(s) > worth(most) ? s : most),
    null,
  );
  let place: number | null = last.survivors.includes(own) ? own : best;
  for (let k = steps.length - 1; k >= 0 && place !== null; k--) {
    path[k] = place;
    place = steps[k]!.parents[place] ?? null;
  }
  return path;
}
