import { DECODERS } from '#pipelines/decoding/index.ts';
import { type Affordable, affordable } from './budget.ts';

/** What a way to steer may count for so many times the denoiser calls of plain sampling. */
export interface MethodBudget extends Affordable {
  readonly method: string;
  /** The option that says the count. */
  readonly countKey: string;
}

/** Methods whose work is known before they run and grows with what they count, and that need nothing but a reward. */
export function methodsWithin(times: number, steps: number): MethodBudget[] {
  return [...DECODERS.values()].flatMap(({ name, countKey, options, work, needsGradient }) => {
    if (!work || needsGradient || !options.safeParse({}).success) return [];
    const of = (count: number) => work(options.parse({ [countKey]: count }), steps);
    const found = of(2).denoiserCalls > of(1).denoiserCalls ? affordable(of, times * steps) : null;
    return found ? [{ method: name, countKey, ...found }] : [];
  });
}
