import { NorthlightError } from '#models/errors.ts';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session, type SessionOptions } from '#models/runtime/session.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { type AdamWConfig, type AdamWState, adamwStep, clipFactor, createAdamW, globalNorm } from './adamw.ts';
import { emaStep } from './ema.ts';
import {
  createLossScale,
  LOSS_SCALE_INPUT,
  type LossScaleState,
  type LossScaling,
  lossScaleFeed,
  lossScaleTensor,
  nextLossScale,
  restoreLossScale,
  staticLossScale,
} from './loss-scale.ts';

/**
 * A graph with outputs `loss` and `grad/<name>` for each trained input, all float32. With an input `loss_scale`
 * ({@link lossScaleInput}) the gradients come multiplied by it; the loss never does.
 */
export interface TrainingGraph {
  readonly model: Model;
  readonly parameters: readonly string[];
}

/** Everything a training run needs to go on: weights, moments, averaged weights, loss scale. */
export interface TrainerState extends AdamWState {
  readonly ema: Map<string, Tensor<'float32'>>;
  readonly lossScale: LossScaleState;
}

export interface TrainerOptions {
  readonly graph: TrainingGraph;
  readonly state: TrainerState;
  /** Total updates; the run starts at `state.step`. */
  readonly steps: number;
  /**
   * Feeds other than the parameters. A pure function of the step and of the part (0 … accumulate − 1), so that a resumed
   * run sees the same data.
   */
  readonly batch: (step: number, part: number) => Record<string, Tensor>;
  /** Batches whose mean gradient makes one update; default 1. In parts of equal size it is the gradient of one large batch. */
  readonly accumulate?: number;
  /** As given to `createTrainerState`; default: no scaling, and a gradient that is not finite ends the run. */
  readonly lossScale?: LossScaling;
  readonly learningRate: (step: number) => number;
  readonly adamw: AdamWConfig;
  readonly maxGradientNorm: number;
  readonly emaDecay: number;
  readonly threads?: number;
  /** As planned for the graph; default: for one of little memory. */
  readonly session?: SessionOptions;
  /** After each update; return false to stop. */
  readonly onStep: (report: { step: number; loss: number; gradientNorm: number; learningRate: number }) => boolean;
}

const UNSCALED = staticLossScale(1);

export function createTrainerState(
  initial: ReadonlyMap<string, Tensor<'float32'>>,
  lossScale: LossScaling = UNSCALED,
): TrainerState {
  const adam = createAdamW(initial);
  return {
    ...adam,
    ema: new Map([...adam.parameters].map(([k, t]) => [k, f32(t.dims, t.data.slice())])),
    lossScale: createLossScale(lossScale),
  };
}

/** The state as named tensors (`p/`, `m/`, `v/`, `ema/`, and `loss_scale`), for a checkpoint. */
export function stateTensors(state: TrainerState): Map<string, Tensor> {
  const out = new Map<string, Tensor>();
  for (const [name, p] of state.parameters) {
    out.set(`p/${name}`, p);
    out.set(`m/${name}`, f32(p.dims, state.m.get(name)!));
    out.set(`v/${name}`, f32(p.dims, state.v.get(name)!));
    out.set(`ema/${name}`, state.ema.get(name)!);
  }
  out.set('loss_scale', lossScaleTensor(state.lossScale));
  return out;
}

/** Puts the tensors of {@link stateTensors} back; names that are missing keep their fresh values. */
export function restoreState(state: TrainerState, tensors: ReadonlyMap<string, Tensor>, step: number): void {
  const into = (target: Float32Array, key: string) => {
    const t = tensors.get(key);
    if (t) target.set(t.data as Float32Array);
  };
  for (const [name, p] of state.parameters) {
    into(p.data, `p/${name}`);
    into(state.m.get(name)!, `m/${name}`);
    into(state.v.get(name)!, `v/${name}`);
    into(state.ema.get(name)!.data, `ema/${name}`);
  }
  restoreLossScale(state.lossScale, tensors);
  state.step = step;
}

/**
 * Runs updates until `steps` or until `onStep` says stop. State is changed in place. Where a gradient overflows at the
 * present loss scale, the update is skipped and the same data run again at half the scale.
 * @throws {NorthlightError} `train/not-finite` when gradients stay infinite or undefined.
 */
export async function trainSteps(options: TrainerOptions): Promise<void> {
  const { graph, state } = options;
  const scaling = options.lossScale ?? UNSCALED;
  const scaled = graph.model.graph.inputs.some((i) => i.name === LOSS_SCALE_INPUT);
  if (!scaled && state.lossScale.scale !== 1) {
    throw new NorthlightError(
      'train/loss-scale',
      `The training graph has no input "${LOSS_SCALE_INPUT}", so its gradients cannot be scaled.`,
      'Build it with lossScaleInput, or train without a loss scale.',
    );
  }
  const session = await createSession(encodeModel(graph.model), {
    ...(options.session ?? { training: true, arena: true }),
    ...(options.threads ? { threads: options.threads } : {}),
  });
  try {
    while (state.step < options.steps) {
      const step = state.step;
      const parts = options.accumulate ?? 1;
      const sum = await summedGradients(session, options, scaled, parts);
      const unscale = 1 / (state.lossScale.scale * parts);
      const gradientNorm = globalNorm(Object.values(sum.gradients)) * unscale;
      if (!nextLossScale(state.lossScale, scaling, Number.isFinite(gradientNorm))) continue;
      const learningRate = options.learningRate(step);
      const clip = clipFactor(gradientNorm, options.maxGradientNorm);
      adamwStep(state, sum.gradients, learningRate, options.adamw, clip * unscale);
      emaStep(state.ema, state.parameters, step, options.emaDecay);
      if (!options.onStep({ step: state.step, loss: sum.loss / parts, gradientNorm, learningRate })) return;
    }
  } finally {
    await session.release();
  }
}

/** Loss and gradients summed over the parts of one update; the parts after one that overflowed are left out. */
async function summedGradients(
  session: Session,
  options: TrainerOptions,
  scaled: boolean,
  parts: number,
): Promise<{ loss: number; gradients: Record<string, Tensor<'float32'>> }> {
  const { graph, state, batch } = options;
  const gradients: Record<string, Tensor<'float32'>> = {};
  let loss = 0;
  for (let part = 0; part < parts; part++) {
    const feeds: Record<string, Tensor> = { ...batch(state.step, part) };
    for (const name of graph.parameters) feeds[name] = state.parameters.get(name)!;
    if (scaled) feeds[LOSS_SCALE_INPUT] = lossScaleFeed(state.lossScale);
    const out = await session.run(feeds);
    loss += (out.loss!.data as Float32Array)[0]!;
    for (const name of graph.parameters) {
      const g = trainedGradient(out, name);
      const sum = gradients[name]?.data;
      if (!sum) gradients[name] = g;
      else for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + g.data[i]!;
    }
    if (part + 1 < parts && !Number.isFinite(globalNorm(Object.values(gradients)))) break;
  }
  return { loss, gradients };
}

function trainedGradient(out: Readonly<Record<string, Tensor>>, name: string): Tensor<'float32'> {
  const g = out[`grad/${name}`];
  if (!g) throw new NorthlightError('train/no-gradient', `No gradient came back for the parameter "${name}".`);
  return g as Tensor<'float32'>;
}

/** Linear warm-up, constant, then linear decay to zero over the last `decay` steps. */
export function trapezoid(step: number, steps: number, peak: number, warmup: number, decay: number): number {
  const up = Math.min(1, (step + 1) / Math.max(1, warmup));
  const down = Math.min(1, (steps - step) / Math.max(1, decay));
  return peak * Math.min(up, down);
}
