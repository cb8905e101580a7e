/** What a network's output means. Published configuration strings. */
export type PredictionType = 'epsilon' | 'v_prediction' | 'sample' | 'flow_velocity';

/** Share of an earlier evaluation (the sample the network was asked at, and its output) in a solver's next sample. */
export interface PastTerm {
  readonly sample: number;
  readonly output: number;
}

/**
 * One evaluation of the network and what follows: `x_next ~ N(sample·x + output·modelOutput + Σ past, std²)`. Every sampler we have
 * is linear in what its network said, so sampling, log-probabilities and training graphs share these scalars. Without `past`
 * terms the chain is Markov.
 */
export interface GaussianStep {
  /** Timestep the network is asked at (its own scale, for example 0…999). */
  readonly timestep: number;
  /** The network sees `inputScale·x`. */
  readonly inputScale: number;
  readonly sample: number;
  readonly output: number;
  /** Shares of earlier evaluations, the latest first: multistep solvers only. */
  readonly past: readonly PastTerm[];
  readonly std: number;
  /** `predOriginalSample = x0Sample·x + x0Output·modelOutput`. */
  readonly x0Sample: number;
  readonly x0Output: number;
  /** Weight of predOriginalSample in the mean: clamping it by Δ moves the mean by `x0Weight·Δ`. */
  readonly x0Weight: number;
  /** Forward process at this timestep: `x = signal·x_0 + noise·ε`. */
  readonly signal: number;
  readonly noise: number;
}

/** Quantile of |x̂₀| that a sample is held to, and how large it may be. */
export interface DynamicThreshold {
  readonly ratio: number;
  readonly max: number;
}

/** A sampler laid out for one number of inference steps, from noisy to clean. */
export interface GaussianSchedule {
  readonly kind: 'gaussian';
  readonly name: string;
  readonly predictionType: PredictionType;
  /** Unit normal noise times this starts the chain. */
  readonly initNoiseSigma: number;
  /** One entry per evaluation of the network: more than the steps asked for where a solver evaluates twice. */
  readonly steps: readonly GaussianStep[];
  /** Clamp of the predicted original sample to ±range, or null. Policy-gradient algorithms refuse a schedule that clips. */
  readonly clipSampleRange: number | null;
  /** Dynamic thresholding of the predicted original sample (thresholding.ts), or null; refused where clipping is. */
  readonly dynamicThreshold: DynamicThreshold | null;
}

export interface ScheduleOptions {
  readonly steps: number;
  /** Noise: DDIM 0 (deterministic) … 1 (DDPM); the stochastic flow samplers' noise level. Others ignore it. */
  readonly eta: number;
  /**
   * What the last step leads to. `config` (default): the configuration's final ᾱ. `keep-noise`: ᾱ₀, from a timestep of at
   * least 1, so that σ > 0 and every step has a log-probability, as in the DDPO and D3PO code; for kept trajectories.
   */
  readonly finalAlphaCumprod?: 'config' | 'keep-noise';
  /**
   * Steps left out at the noisy end, 0 … steps: the run starts from a picture, at the level of the first step that is left.
   * A solver with a memory starts there without one. Default 0.
   */
  readonly skipSteps?: number;
  /** Tokens of the picture, for flow models whose shift follows it (`use_dynamic_shifting`). */
  readonly imageSequenceLength?: number;
}

/** One step of masked (absorbing) diffusion; positions are revealed independently of what they hold. */
export interface MaskedStep {
  /** Time the network is asked at: 1 is all masked, 0 clean. Null: the random time at which the next position is revealed. */
  readonly time: number | null;
  /** Probability that a masked position is revealed, each on its own; `one`: exactly one, any with equal probability. */
  readonly reveal: number | 'one';
  /** How a revealed position gets its token: drawn from the network's distribution, or its most probable one. */
  readonly fill: 'sample' | 'argmax';
}

/** A sampler of sequences laid out for one length, from all masked to clean. */
export interface MaskedSchedule {
  readonly kind: 'masked';
  readonly name: string;
  readonly steps: readonly MaskedStep[];
}

export interface MaskedScheduleOptions {
  /** Steps before noise removal. Unused where every position has its own step. */
  readonly steps: number;
  /** Positions that may be masked at the start. */
  readonly length: number;
}
