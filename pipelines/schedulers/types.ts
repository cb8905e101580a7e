/** What a network's output means. Published configuration strings. */
export type PredictionType = 'epsilon' | 'v_prediction' | 'sample' | 'flow_velocity';

/**
 * One reverse step of a Markov Gaussian sampler, affine in the sample and the model output:
 * `x_prev ~ N(sample·x_t + output·modelOutput, std²)`. Sampling, log-probabilities and training graphs share these scalars.
 */
export interface GaussianStep {
  /** Timestep the network is asked at (its own scale, for example 0…999). */
  readonly timestep: number;
  readonly sample: number;
  readonly output: number;
  readonly std: number;
  /** `predOriginalSample = x0Sample·x_t + x0Output·modelOutput`. */
  readonly x0Sample: number;
  readonly x0Output: number;
  /** Weight of predOriginalSample in the mean: clamping it by Δ moves the mean by `x0Weight·Δ`. */
  readonly x0Weight: number;
  /** Forward process at this timestep: `x_t = signal·x_0 + noise·ε`. */
  readonly signal: number;
  readonly noise: number;
}

/** A sampler laid out for one number of inference steps, from noisy to clean. */
export interface GaussianSchedule {
  readonly kind: 'gaussian';
  readonly name: string;
  readonly predictionType: PredictionType;
  /** Unit normal noise times this starts the chain. */
  readonly initNoiseSigma: number;
  readonly steps: readonly GaussianStep[];
  /** Clamp of the predicted original sample to ±range, or null. Policy-gradient algorithms refuse a schedule that clips. */
  readonly clipSampleRange: number | null;
}
