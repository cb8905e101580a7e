import { NorthlightError } from '#models/errors.ts';
import type { PredictionType } from './types.ts';

/** Factors of x̂₀ = sample·x + output·modelOutput where x = x₀ + σ·ε and the network saw x/√(σ² + 1). */
export function cleanOf(type: PredictionType, sigma: number): { sample: number; output: number } {
  switch (type) {
    case 'epsilon':
      return { sample: 1, output: -sigma };
    case 'sample':
      return { sample: 0, output: 1 };
    case 'v_prediction':
      return { sample: 1 / (sigma ** 2 + 1), output: -sigma / Math.sqrt(sigma ** 2 + 1) };
    case 'flow_velocity':
      throw new NorthlightError(
        'scheduler/unsupported',
        'A model that predicts a flow velocity has no such schedule.',
        'Choose a flow-matching sampler for this model.',
      );
  }
}
