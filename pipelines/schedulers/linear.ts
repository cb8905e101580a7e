import type { GaussianStep, PastTerm } from './types.ts';

/**
 * A linear combination of everything a solver has met: `samples[i]·x_i + outputs[i]·o_i` over evaluations i = 0, 1, …
 * Solvers write their published equations with these, and scalars per step come out.
 */
export interface Linear {
  readonly samples: readonly number[];
  readonly outputs: readonly number[];
}

const unit = (i: number): number[] => Array.from({ length: i + 1 }, (_, j) => (j === i ? 1 : 0));

/** The sample that evaluation `i` was made at. */
export const sampleAt = (i: number): Linear => ({ samples: unit(i), outputs: [] });

/** What the network said at evaluation `i`. */
export const outputAt = (i: number): Linear => ({ samples: [], outputs: unit(i) });

/** Σ factor · term. */
export function combine(...terms: readonly (readonly [factor: number, term: Linear])[]): Linear {
  const sum = (part: 'samples' | 'outputs') =>
    Array.from({ length: Math.max(0, ...terms.map(([, t]) => t[part].length)) }, (_, i) =>
      // A factor of zero counts nothing, also where the term is not finite.
      terms.reduce((total, [f, t]) => total + (f === 0 || !t[part][i] ? 0 : f * t[part][i]), 0),
    );
  return { samples: sum('samples'), outputs: sum('outputs') };
}

/** The scalars of evaluation `i` when the next sample is `next` and the predicted clean one `clean`. */
export function linearStep(
  i: number,
  next: Linear,
  clean: Linear,
  rest: Pick<GaussianStep, 'timestep' | 'inputScale' | 'std' | 'signal' | 'noise'>,
): GaussianStep {
  const past: PastTerm[] = [];
  for (let j = i - 1; j >= 0; j--) past.push({ sample: next.samples[j] ?? 0, output: next.outputs[j] ?? 0 });
  const used = past.findLastIndex((p) => p.sample !== 0 || p.output !== 0);
  return {
    ...rest,
    sample: next.samples[i] ?? 0,
    output: next.outputs[i] ?? 0,
    past: past.slice(0, used + 1),
    x0Sample: clean.samples[i] ?? 0,
    x0Output: clean.outputs[i] ?? 0,
    x0Weight: 0,
  };
}
