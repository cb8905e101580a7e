import type { MaskedStep } from './types.ts';

/**
 * First-hitting sampling: one position after another, in random order, each drawn with all earlier ones in sight. Zheng et
 * al. 2024 (arXiv:2409.02908), section 4: the masked process without its steps of time in which nothing happens. With a
 * perfect network the law is exactly the model's, at one call per position.
 */
export function oneAtATimeSteps(length: number): MaskedStep[] {
  return Array.from({ length }, () => ({ time: null, reveal: 'one', fill: 'sample' }));
}
