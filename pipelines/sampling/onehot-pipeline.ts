import type { OneHotModel } from '#models/families/onehot-sequence.ts';
import type { Model } from '#models/onnx/ir.ts';
import type { Session, SessionOptions } from '#models/runtime/session.ts';
import { f32, fromNumbers, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { parseSchedulerConfig, type SchedulerConfig } from '#pipelines/schedulers/index.ts';
import { openAdapted, readAdapted } from './adapted-session.ts';
import type { Denoiser } from './denoiser.ts';
import { combine } from './guidance.ts';
import type { SequencePipelineOptions } from './masked-pipeline.ts';

/** A loaded one-hot model. Close it to free its session. */
export interface OneHotPipeline {
  readonly model: OneHotModel;
  readonly scheduler: SchedulerConfig;
  /** Conditions are class numbers; null for none. */
  denoiser(guidanceScale: number): Denoiser<number | null>;
  /** The network's graph with its adapters, read when asked for. */
  network(): Model;
  /** What the network reads besides the samples of so many classes. */
  feeds(classes: readonly (number | null)[], timestep: number): Record<string, Tensor>;
  /** Whether a sequence of this class also goes through the network without one. */
  isGuided(condition: number | null, guidanceScale: number): boolean;
  /** The letter with the largest number at each position of a sample, as token ids `[L]`; the first of a tie. */
  decode(sample: Float32Array): Int32Array;
  /** Sequences sent through the network so far; guidance counts two. */
  readonly calls: { count: number };
  /** How its network was opened. */
  readonly session: Pick<SessionOptions, 'provider' | 'threads'>;
  close(): Promise<void>;
}

/** @throws {NorthlightError} `scheduler/config`, `session/…`, or of an adapter that does not belong to the model. */
export async function loadOneHotPipeline(
  model: OneHotModel,
  options: SequencePipelineOptions = {},
): Promise<OneHotPipeline> {
  const { rowsPerCall: _, adapters = [], ...sessionOptions } = options;
  const scheduler = parseSchedulerConfig(model.schedulerConfig, `${model.path}/scheduler/scheduler_config.json`);
  const session = await openAdapted(model.denoiser.path, adapters, sessionOptions);
  const calls = { count: 0 };
  return {
    model,
    scheduler,
    calls,
    session: sessionOptions,
    denoiser: (guidanceScale) => createDenoiser(model, session, guidanceScale, calls),
    network: () => readAdapted(model.denoiser.path, adapters),
    feeds: (classes, timestep) => feedsOf(model, classes, timestep),
    isGuided: (condition, guidanceScale) => isGuided(model, condition, guidanceScale),
    decode(sample) {
      const length = model.length[0];
      return Int32Array.from({ length }, (_, i) => {
        let best = 0;
        for (let c = 1; c < model.channels.length; c++) {
          if (sample[c * length + i]! > sample[best * length + i]!) best = c;
        }
        return model.channels[best]!;
      });
    },
    close: () => session.release(),
  };
}

/** One sequence (with its guidance twin) per call, so that its numbers do not depend on its company. */
function createDenoiser(
  model: OneHotModel,
  session: Session,
  guidanceScale: number,
  calls: { count: number },
): Denoiser<number | null> {
  const size = numel(model.dims);
  return {
    dims: model.dims,
    async predict(samples, timestep, conditions, out = new Float32Array(samples.length)) {
      for (const [row, condition] of conditions.entries()) {
        const x = samples.subarray(row * size, (row + 1) * size);
        const guided = isGuided(model, condition, guidanceScale);
        const asked = guided ? [condition, model.nullClass] : [condition];
        const feeds = {
          ...feedsOf(model, asked, timestep),
          [model.sample.name]: f32([asked.length, ...model.dims], guided ? Float32Array.of(...x, ...x) : x),
        };
        const result = (await session.run(feeds, [model.output.name]))[model.output.name]!;
        const y = result.dtype === 'float32' ? (result.data as Float32Array) : Float32Array.from(toNumbers(result));
        calls.count += asked.length;
        out.set(guided ? combine(y.subarray(size), y.subarray(0, size), guidanceScale) : y, row * size);
      }
      return out;
    },
  };
}

const isGuided = ({ nullClass }: OneHotModel, condition: number | null, guidanceScale: number): boolean =>
  condition !== null && nullClass !== null && guidanceScale !== 1;

function feedsOf(model: OneHotModel, classes: readonly (number | null)[], timestep: number): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = { [model.time.name]: timeTensor(model, timestep, classes.length) };
  if (model.classLabels !== null) {
    const labels = classes.map((c) => c ?? model.nullClass ?? 0);
    feeds[model.classLabels.name] = fromNumbers(model.classLabels.dtype, [classes.length], labels);
  }
  return feeds;
}

function timeTensor({ time }: OneHotModel, timestep: number, rows: number): Tensor {
  const value = time.dtype.startsWith('float') ? timestep : Math.round(timestep);
  return time.dims.length === 0
    ? fromNumbers(time.dtype, [], [value])
    : fromNumbers(time.dtype, [rows], new Array<number>(rows).fill(value));
}
