import type { Rng } from '#models/tensor/rng.ts';
import type { Clean } from '#pipelines/sampling/steering.ts';

/** A state of one of the chains that run side by side. */
export interface At<S> {
  /** Which chain: its seed, index and condition. */
  readonly row: number;
  readonly state: S;
}

/**
 * A sampler as a Markov chain that can be branched: states S, and what the network says of them, E. Decoders know nothing else
 * of a model. All randomness is a function of (seed and index of the row, step, candidate): never of a place in a batch.
 */
export interface Chain<S, E> {
  /** How many chains run side by side. */
  readonly rows: number;
  /** Steps from noise to sample; a state is about to take step 0 … steps − 1, or finished. */
  readonly steps: number;
  /** Whether the step can lead to more than one state. */
  isRandom(step: number): boolean;
  /** x_T of a row. */
  start(row: number): S;
  /** What the network says of each state before its step: one call each. One answer never depends on the others. */
  evaluate(step: number, asked: readonly At<S>[]): Promise<E[]>;
  /**
   * x_{t−1} ~ p(· | x_t). Candidate 0 is what plain sampling draws; the others are independent of it and of one another.
   * @param shared All candidates share what the network has no say in: which positions of a sequence are revealed.
   */
  draw(step: number, at: At<S>, said: E, candidate: number, shared: boolean): S;
  /** The network's best guess of the finished sample: posterior mean of a picture, likeliest letters of a sequence. */
  guess(step: number, at: At<S>, said: E): Clean;
  /**
   * The k-th random completion, from the network's own distribution, with the random numbers of (row, step, k) whatever the
   * state; null where a model has no such distribution.
   */
  complete(step: number, at: At<S>, said: E, k: number): Clean | null;
  /**
   * Where the reward's gradient is asked for: the best guess of a picture `[D]`, the probabilities of the letters of a sequence
   * `[L, V]`. Null where the state has nothing left to say.
   */
  relaxed(step: number, at: At<S>, said: E): Float32Array | null;
  /**
   * What the network would say if samples were tilted by exp(slope·x₀): to first order in the slope, for each sample on its own.
   * @param slope like {@link Chain.relaxed}.
   * @param spread Standard deviation of a number of a picture over the data.
   */
  tilted(step: number, said: E, slope: Float64Array, spread: number, at: At<S>): E;
  /**
   * As {@link Chain.evaluate}, with ∇r(x̂₀(x_t)) by x_t as the slope for {@link Chain.tilted}: the derivative of the best guess is the
   * network's own. Absent where no reward was differentiated with the network.
   */
  sloped?(
    step: number,
    asked: readonly At<S>[],
    spread: number,
  ): Promise<{ readonly said: E; readonly slope: Float32Array }[]>;
  /**
   * A finished sample made noisy (or masked) again as far as it is before a step.
   * @param locked Numbers of the sample, or positions of a sequence, that are to stay as they are, besides what the row was given.
   */
  restart(step: number, row: number, sample: Clean, locked: ReadonlySet<number>, rng: Rng): Restart<S>;
  /** The sample of a state that has taken all steps. */
  finished(state: S): Clean;
  /** Shape of {@link features}, channels first: `[C, H, W]` of a picture, `[V, L]` of a sequence. */
  readonly featureDims: readonly number[];
  /**
   * A state that is about to take `step` as numbers of order one for a network to read: a picture's own, scaled to what noise and data of
   * spread 1 would have; one-hot letters and masks.
   */
  features(step: number, state: S): Float32Array;
  /** Equal for equal states of one row; null where states are never equal. */
  key(state: S): string | null;
  /** True: what the network says of a state stays true at the next step. */
  readonly timeless: boolean;
  /** What the row is to show: only rows of one and the same condition may take each other's places. */
  condition(row: number): unknown;
  /** Random numbers for decisions about a row. */
  rng(row: number, ...labels: (string | number)[]): Rng;
}

/** Where a finished sample starts again. */
export interface Restart<S> {
  readonly state: S;
  /** Puts back what is locked, into the state after a step. */
  hold(step: number, next: S): S;
}
