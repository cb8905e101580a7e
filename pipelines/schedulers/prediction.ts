import { NorthlightError } from '#models/errors.ts';
import type { PredictionType } from './types.ts';

/** x̂₀ and ε̂ as linear functions of the sample and the model output. */
interface Prediction {
  readonly x0Sample: number;
  readonly x0Output: number;
  readonly epsilonSample: number;
  readonly epsilonOutput: number;
}

/**
 * What the model output says about x̂₀ and ε̂ where x_t = signal·x₀ + noise·ε and signal² + noise² = 1.
 * `v_prediction`: v = signal·ε − noise·x₀, Salimans and Ho 2022 (arXiv:2202.00512), appendix D.
 * @throws {NorthlightError} `scheduler/undefined` where the output determines nothing (ε at pure noise, x₀ at no noise).
 */
export function predictionOf(type: PredictionType, signal: number, noise: number): Prediction {
  switch (type) {
    case 'epsilon':
      if (signal === 0) throw undefinedAt(type, 'pure noise', 'v_prediction or sample');
      return { x0Sample: 1 / signal, x0Output: -noise / signal, epsilonSample: 0, epsilonOutput: 1 };
    case 'sample':
      if (noise === 0) throw undefinedAt(type, 'a timestep without noise', 'betas above 0');
      return { x0Sample: 0, x0Output: 1, epsilonSample: 1 / noise, epsilonOutput: -signal / noise };
    case 'v_prediction':
      return { x0Sample: signal, x0Output: -noise, epsilonSample: noise, epsilonOutput: signal };
    case 'flow_velocity':
      throw new NorthlightError(
        'scheduler/unsupported',
        'A model that predicts a flow velocity has no DDIM or DDPM schedule.',
        'Choose a flow-matching sampler for this model.',
      );
  }
}

function undefinedAt(type: string, where: string, instead: string): NorthlightError {
  return new NorthlightError(
    'scheduler/undefined',
    `A model that predicts ${type} says nothing about the clean sample at ${where}.`,
    `This scheduler configuration needs ${instead}; check prediction_type and rescale_betas_zero_snr.`,
  );
}
