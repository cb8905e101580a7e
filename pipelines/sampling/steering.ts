import type { GaussianSchedule, GaussianStep, MaskedSchedule } from '#pipelines/schedulers/types.ts';
import type { Denoiser } from './denoiser.ts';
import type { SampleRow } from './loop.ts';
import type { MaskedDenoiser, MaskedRow } from './masked-loop.ts';

/** What a decoder hands to a reward: numbers of a picture `[C, H, W]` as the model makes them, or token ids `[L]`. */
export type Clean = Float32Array | Int32Array;

/** Finite numbers, one per sample, higher is better. Counted: one call each. */
export type Score = (samples: readonly Clean[], rows: readonly number[]) => Promise<Float64Array>;

/**
 * A reward that says which way is up, of samples that need not be finished: numbers of a picture `[D]`, or of a sequence the probability of
 * every token at every position, `[L, V]`. One answer per sample, for each on its own.
 */
export interface DifferentiableReward {
  values(samples: readonly Float32Array[], rows: readonly number[]): Promise<Float64Array>;
  /** @param values where it writes what {@link values} would give, if it knows that by the way. */
  gradient(
    samples: readonly Float32Array[],
    rows: readonly number[],
    values?: Float64Array,
  ): Promise<readonly Float32Array[]>;
}

/** A network with a reward of its best guess, differentiated as one. */
export interface NetworkSlope<C> {
  /** About a noisy sample `[D]` that is about to take a step. */
  ask(
    sample: Float32Array,
    step: GaussianStep,
    condition: C,
  ): Promise<{
    /** What the network says, after guidance, `[D]`. */
    readonly output: Float32Array;
    /** ∇r(x̂₀) by the noisy sample and by x̂₀ before it is clipped, `[D]`. */
    readonly bySample: Float32Array;
    readonly byClean: Float32Array;
  }>;
}

/** A model, and the reward that it is steered by. */
export interface DecodingTarget {
  /** SHA-256 of the model. */
  readonly modelHash: string;
  /** As the reward was asked for. */
  readonly reward: string;
}

/** What some decoders need besides the value of a reward. */
export interface DecodingAids {
  readonly slope?: DifferentiableReward;
  /** What is steered: networks that were trained for something else are refused. */
  target?(): Promise<DecodingTarget>;
  /** Counts calls of a value network, one per state. */
  readonly valueCalls?: { count: number };
  /** Counts gradients of the reward, one per state. */
  readonly gradientCalls?: { count: number };
}

/** What guided samples came to, and what they cost. */
export interface Decoded {
  /** One per row, or one per population where rows compete. */
  readonly samples: readonly Clean[];
  readonly rewards: Float64Array;
  /**
   * Log importance weights: E[W] = E_p[exp(r/α)] and E[W f(x)] / E[W] = E_{p*}[f] exactly, p* ∝ p·exp(r/α). Null where the
   * method has none (argmax selection).
   */
  readonly logWeights: Float64Array | null;
  /** Of searches that keep a tree: the places of a row's, parents before children, the root first. */
  readonly tree?: (row: number) => readonly TreePlace[];
}

/** A partly finished sample in the tree of a search. */
export interface TreePlace {
  /** Place in the list; null for the root. */
  readonly parent: number | null;
  /** Steps taken so far. */
  readonly step: number;
  /** What it was worth when it was made; of a finished sample, its reward. */
  readonly prior: number;
  /** As its children say. */
  readonly value: number;
  readonly visits: number;
  /** The best guess of what it becomes, or what it is. */
  guess(): Clean;
}

/** One of those that competed at a step. */
export interface Rival {
  /** Null where it was not asked for. */
  readonly value: number | null;
  /**
   * Which of those of the last comparison it comes from: a place among the row's own, for populations a row. Null where there was
   * none before, or it was another sample's.
   */
  readonly parent: number | null;
  readonly wentOn: boolean;
  /** It is finished, and the others were to replace it. */
  readonly standing?: boolean;
  /** The best guess of what it becomes; at the end, what it is. Made when asked for; null: the decoder does not know. */
  guess(): Clean | null;
}

/** After each step. */
export interface DecodingStep {
  /** 1 … total. */
  readonly step: number;
  readonly total: number;
  /** The best guess of a row's finished sample before this step; null where the decoder has none. Made when asked for. */
  guess(row: number): Clean | null;
  /** Values of the candidates of each row, best guess at their rewards; empty where none were compared. */
  readonly values: readonly Float64Array[];
  /** Which candidate each row went on with; for populations, which row it descends from. */
  readonly chosen: readonly number[];
  /** Those that competed, in the order of `values` where there are any. Absent where none did, or the decoder does not tell. */
  rivals?(row: number): readonly Rival[];
}

/** A decoder at work: steps as they happen, then the result. Stop iterating to cancel. */
export type Decoding = AsyncGenerator<DecodingStep, Decoded>;

/** How rewards steer sampling: a decoder with its settings, for any model. */
export interface Steering {
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Rows that compete for one sample: neighbours, of one condition. 1 where rows do not compete. */
  readonly perSample: number;
  /** Whether it has to know the gradient of the reward: else it does not look at one. */
  readonly needsGradient: boolean;
  /** That gradient goes back through the network to the noisy sample. Absent: to the best guess only. */
  readonly throughNetwork?: boolean;
  /** States that a value network has looked at so far; absent where there can be none. */
  readonly valueCalls?: { readonly count: number };
  /** Gradients of the reward taken so far; absent where there can be none. */
  readonly gradientCalls?: { readonly count: number };
  gaussian<C>(
    work: {
      denoiser: Denoiser<C>;
      schedule: GaussianSchedule;
      rows: readonly SampleRow<C>[];
      slope?: NetworkSlope<C>;
    },
    score: Score,
    aids?: DecodingAids,
  ): Decoding;
  masked<C>(
    work: { denoiser: MaskedDenoiser<C>; schedule: MaskedSchedule; rows: readonly MaskedRow<C>[] },
    score: Score,
    aids?: DecodingAids,
  ): Decoding;
}
