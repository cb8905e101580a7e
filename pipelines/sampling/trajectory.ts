import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, f64, numel, type Tensor } from '#models/tensor/tensor.ts';
import type { GaussianStep } from '#pipelines/schedulers/types.ts';

/** One sampled chain: what a policy gradient needs to ask how likely each step was, then and under new weights. */
export interface Trajectory {
  /** Shape of one sample; D is its number of elements. */
  readonly dims: readonly number[];
  /** x_T … x_0 as the sampler left them, `[T + 1, D]`. */
  readonly states: Float32Array;
  /** Mean over D of the log-density of each step, `[T]`. */
  readonly logProbs: Float32Array;
  /** The affine scalars of each step, `[T]`. */
  readonly steps: readonly GaussianStep[];
}

const metadata = z.object({
  seed: z.number().int(),
  index: z.number().int(),
  noiseIndex: z.number().int(),
  prompt: z.string(),
  negativePrompt: z.string(),
  guidanceScale: z.number(),
  scheduler: z.string(),
  eta: z.number(),
  predictionType: z.string(),
  /** SHA-256 of the model, and of the adapter if one was on. */
  modelHash: z.string(),
  adapterHash: z.string().nullable(),
  /** `scheduler_config.json` as it was. */
  schedulerConfig: z.record(z.string(), z.unknown()),
  /** Layer of the text encoders that were read; absent: 1. */
  clipSkip: z.number().int().optional(),
  /** SHA-256 of the picture it started from, and how much of it could change; absent: it started from noise. */
  start: z.object({ picture: z.string(), mask: z.string().nullable(), strength: z.number() }).optional(),
});
/** Where a trajectory came from: enough to sample it again. */
export type TrajectoryMetadata = z.infer<typeof metadata>;

/**
 * Log-density of `prev` under N(mean, std²), as a MEAN over dimensions, in float64: −(x−μ)²/2σ² − ln σ − ½ ln 2π. Dividing by D
 * is what DDPO and D3PO do (their code, not their text); it changes the meaning of a clip range or β by a factor D.
 */
export function gaussianLogProb(prev: ArrayLike<number>, mean: ArrayLike<number>, std: number): number {
  let squares = 0;
  for (let i = 0; i < prev.length; i++) squares += (prev[i]! - mean[i]!) ** 2;
  return -squares / prev.length / (2 * std * std) - Math.log(std) - 0.5 * Math.log(2 * Math.PI);
}

const FORMAT = 'northlight-trajectory-2';
const SCALARS = [
  'timestep',
  'inputScale',
  'sample',
  'output',
  'std',
  'x0Sample',
  'x0Output',
  'x0Weight',
  'signal',
  'noise',
] as const;

/** Writes a trajectory as safetensors: `states` `[T + 1, ...dims]`, `logProbs` `[T]`, one float64 `[T]` per step scalar. Atomic. */
export function writeTrajectory(path: string, trajectory: Trajectory, origin: TrajectoryMetadata): void {
  const { steps, dims } = trajectory;
  const tensors = new Map<string, Tensor>([
    ['states', f32([steps.length + 1, ...dims], trajectory.states)],
    ['logProbs', f32([steps.length], trajectory.logProbs)],
  ]);
  for (const key of SCALARS) {
    tensors.set(
      key,
      f64(
        [steps.length],
        steps.map((step) => step[key]),
      ),
    );
  }
  writeSafetensors(
    path,
    tensors,
    new Map([
      ['format', FORMAT],
      ['origin', JSON.stringify(origin)],
    ]),
  );
}

/** @throws {NorthlightError} `trajectory/format` when the file is not a trajectory; whatever reading safetensors throws. */
export function readTrajectory(path: string): { trajectory: Trajectory; origin: TrajectoryMetadata } {
  const file = readSafetensors(path);
  const fail = (what: string) =>
    new NorthlightError(
      'trajectory/format',
      `${path} is not a complete trajectory: ${what}.`,
      'Generate the sample again with trajectories kept.',
    );
  if (file.metadata.get('format') !== FORMAT) throw fail(`its format is not ${FORMAT}`);
  const tensorOf = <D extends 'float32' | 'float64'>(name: string, dtype: D): Tensor<D> => {
    const found = file.tensors.get(name);
    if (found === undefined || found.dtype !== dtype) throw fail(`tensor "${name}" (${dtype}) is missing`);
    return found as Tensor<D>;
  };
  const states = tensorOf('states', 'float32');
  const logProbs = tensorOf('logProbs', 'float32');
  const scalars = SCALARS.map((key) => [key, tensorOf(key, 'float64').data] as const);
  const count = logProbs.data.length;
  const dims = states.dims.slice(1);
  if (states.data.length !== (count + 1) * numel(dims) || scalars.some(([, values]) => values.length !== count)) {
    throw fail('its tensors disagree about the number of steps');
  }
  const steps = Array.from(
    { length: count },
    (_, i) =>
      ({
        ...Object.fromEntries(scalars.map(([key, values]) => [key, values[i]!])),
        past: [],
      }) as unknown as GaussianStep,
  );
  const origin = metadata.safeParse(parseJson(file.metadata.get('origin') ?? ''));
  if (!origin.success) throw fail('its origin is unreadable');
  return { trajectory: { dims, states: states.data, logProbs: logProbs.data, steps }, origin: origin.data };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
