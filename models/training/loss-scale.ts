import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { f32, f64, type Tensor } from '#models/tensor/tensor.ts';

/**
 * Loss scaling (Micikevicius et al. 2018, arXiv:1710.03740, sec. 3.2): gradients that float16 would round to zero survive
 * when the loss is multiplied by a large number first; the update divides it out again. A power of two changes no digit.
 */
export const LOSS_SCALE_INPUT = 'loss_scale';

export interface LossScaling {
  /** The scale at the start. */
  readonly initial: number;
  /** After so many updates without an overflow the scale is doubled; 0: never (a static scale). */
  readonly growthInterval: number;
  /** Whether an overflow halves the scale; if not, it is an error. */
  readonly backoff: boolean;
}

/** 65536 at first, doubled after 2000 good updates, halved at each overflow: the customary numbers. */
export const DYNAMIC_LOSS_SCALE: LossScaling = { initial: 65536, growthInterval: 2000, backoff: true };

export const staticLossScale = (scale: number): LossScaling => ({ initial: scale, growthInterval: 0, backoff: false });

/** Part of a run's state: a resumed run goes on with the same scale and the same count. */
export interface LossScaleState {
  scale: number;
  /** Updates since the scale last changed. */
  goodSteps: number;
}

/** Below this the gradients overflow for another reason than the scale; above 2²⁴ nothing more is gained. */
const SMALLEST = 2 ** -14;
const LARGEST = 2 ** 24;

export function createLossScale(config: LossScaling): LossScaleState {
  if (!(config.initial > 0 && Number.isFinite(config.initial))) {
    throw new NorthlightError(
      'train/loss-scale',
      `A loss scale must be a positive number, not ${config.initial}.`,
      'Use a power of two such as 1024.',
    );
  }
  return { scale: config.initial, goodSteps: 0 };
}

/** Declares the graph input for the scale. Use it as the cotangent of the loss in `addGradients`. A float32 scalar. */
export function lossScaleInput(op: GraphBuilder): Value {
  return op.input(LOSS_SCALE_INPUT, 'float32', []);
}

/** What {@link lossScaleInput} is fed. */
export const lossScaleFeed = (state: LossScaleState): Tensor<'float32'> => f32([], [state.scale]);

/**
 * The scale of the next attempt, in place.
 * @returns whether the update may be made; if not, the same batch is to be run again with the new scale.
 * @throws {NorthlightError} `train/not-finite` when no smaller scale would help.
 */
export function nextLossScale(state: LossScaleState, config: LossScaling, finite: boolean): boolean {
  if (!finite) {
    if (!config.backoff || state.scale / 2 < SMALLEST) {
      throw new NorthlightError(
        'train/not-finite',
        `A gradient is infinite or not a number at loss scale ${state.scale}.`,
        config.backoff
          ? 'The training has diverged: lower the learning rate and go on from an earlier checkpoint.'
          : 'Use a dynamic loss scale or a smaller one; if that does not help, lower the learning rate.',
      );
    }
    state.scale /= 2;
    state.goodSteps = 0;
    return false;
  }
  state.goodSteps += 1;
  if (config.growthInterval > 0 && state.goodSteps >= config.growthInterval) {
    state.scale = Math.min(state.scale * 2, Math.max(LARGEST, config.initial));
    state.goodSteps = 0;
  }
  return true;
}

/** The state as a tensor, for a checkpoint. */
export const lossScaleTensor = (state: LossScaleState): Tensor => f64([2], [state.scale, state.goodSteps]);

/** Puts the tensor `loss_scale` of a checkpoint back; without one the state stays fresh. */
export function restoreLossScale(state: LossScaleState, tensors: ReadonlyMap<string, Tensor>): void {
  const kept = tensors.get('loss_scale');
  if (kept) [state.scale, state.goodSteps] = Array.from(kept.data as Float64Array) as [number, number];
}
