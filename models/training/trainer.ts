import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { type AdamWConfig, type AdamWState, adamwStep, clipFactor, createAdamW, globalNorm } from './adamw.ts';
import { emaStep } from './ema.ts';

/** A graph with outputs `loss` and `grad/<name>` for each trained input. */
export interface TrainingGraph {
  readonly model: Model;
  readonly parameters: readonly string[];
}

/** Everything a training run needs to go on: weights, moments, averaged weights. */
export interface TrainerState extends AdamWState {
  readonly ema: Map<string, Tensor<'float32'>>;
}

export interface TrainerOptions {
  readonly graph: TrainingGraph;
  readonly state: TrainerState;
  /** Total updates; the run starts at `state.step`. */
  readonly steps: number;
  /** Feeds other than the parameters. A pure function of the step, so that a resumed run sees the same data. */
  readonly batch: (step: number) => Record<string, Tensor>;
  readonly learningRate: (step: number) => number;
  readonly adamw: AdamWConfig;
  readonly maxGradientNorm: number;
  readonly emaDecay: number;
  readonly threads?: number;
  /** After each update; return false to stop. */
  readonly onStep: (report: { step: number; loss: number; gradientNorm: number; learningRate: number }) => boolean;
}

export function createTrainerState(initial: ReadonlyMap<string, Tensor<'float32'>>): TrainerState {
  const adam = createAdamW(initial);
  return { ...adam, ema: new Map([...adam.parameters].map(([k, t]) => [k, f32(t.dims, t.data.slice())])) };
}

/** The state as named tensors (`p/`, `m/`, `v/`, `ema/`), for a checkpoint. */
export function stateTensors(state: TrainerState): Map<string, Tensor> {
  const out = new Map<string, Tensor>();
  for (const [name, p] of state.parameters) {
    out.set(`p/${name}`, p);
    out.set(`m/${name}`, f32(p.dims, state.m.get(name)!));
    out.set(`v/${name}`, f32(p.dims, state.v.get(name)!));
    out.set(`ema/${name}`, state.ema.get(name)!);
  }
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
  state.step = step;
}

/** Runs updates until `steps` or until `onStep` says stop. State is changed in place. */
export async function trainSteps(options: TrainerOptions): Promise<void> {
  const { graph, state } = options;
  const session = await createSession(encodeModel(graph.model), {
    training: true,
    arena: true,
    ...(options.threads ? { threads: options.threads } : {}),
  });
  try {
    while (state.step < options.steps) {
      const step = state.step;
      const feeds: Record<string, Tensor> = options.batch(step);
      for (const name of graph.parameters) feeds[name] = state.parameters.get(name)!;
      const out = await session.run(feeds);
      const gradients = Object.fromEntries(graph.parameters.map((name) => [name, out[`grad/${name}`]!]));
      const gradientNorm = globalNorm(Object.values(gradients));
      const learningRate = options.learningRate(step);
      adamwStep(state, gradients, learningRate, options.adamw, clipFactor(gradientNorm, options.maxGradientNorm));
      emaStep(state.ema, state.parameters, step, options.emaDecay);
      const loss = (out.loss!.data as Float32Array)[0]!;
      if (!options.onStep({ step: state.step, loss, gradientNorm, learningRate })) return;
    }
  } finally {
    await session.release();
  }
}

/** Linear warm-up, constant, then linear decay to zero over the last `decay` steps. */
export function trapezoid(step: number, steps: number, peak: number, warmup: number, decay: number): number {
  const up = Math.min(1, (step + 1) / Math.max(1, warmup));
  const down = Math.min(1, (steps - step) / Math.max(1, decay));
  return peak * Math.min(up, down);
}
