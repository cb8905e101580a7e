import { d3po } from './d3po.ts';
import type { Algorithm } from './types.ts';

/** Every fine-tuning algorithm, by name. */
export const algorithms: Readonly<Record<string, Algorithm>> = {
  // An algorithm is given the output of its own schema; the registry only forgets which.
  d3po: d3po as unknown as Algorithm,
};
