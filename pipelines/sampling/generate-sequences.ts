import { NorthlightError } from '#models/errors.ts';
import { rememberedModelHash } from '#models/families/index.ts';
import { openSequenceModel, type SequenceModel } from '#models/families/sequence-model.ts';
import { suggestion } from '#models/nearest.ts';
import { Rng } from '#models/tensor/rng.ts';
import {
  createGaussianSchedule,
  createMaskedSchedule,
  SAMPLERS,
  type SamplerName,
  SEQUENCE_SAMPLERS,
  type SequenceSamplerName,
  samplerOf,
} from '#pipelines/schedulers/index.ts';
import { followSteps, mapSteps } from './follow-steps.ts';
import { type GuidedPlace, type GuidedStep, guidedStepOf, shownStep, shownTree } from './guided-step.ts';
import { sampleLoop } from './loop.ts';
import { maskedLoop } from './masked-loop.ts';
import { loadMaskedPipeline, type MaskedPipeline, type SequencePipelineOptions } from './masked-pipeline.ts';
import { loadOneHotPipeline, type OneHotPipeline } from './onehot-pipeline.ts';
import type { RewardSlope } from './reward-slope.ts';
import {
  openMaskedSlope,
  openOneHotNetworkSlope,
  openOneHotSlope,
  type SequenceRewardGraph,
} from './sequence-slope.ts';
import type { Clean, Decoded, Decoding, DecodingAids, Score, Steering } from './steering.ts';

const DEFAULT_STEPS = 50;

export type SequencePipeline = MaskedPipeline | OneHotPipeline;

/** How to sample; the same settings and seed give the same sequences on CPU, at any batch. */
export interface SequenceSettings {
  /** Default: what the model's own scheduler configuration names. */
  readonly scheduler?: SamplerName | SequenceSamplerName | undefined;
  /** Default: `num_inference_steps` of the scheduler configuration. */
  readonly steps?: number | undefined;
  readonly eta: number;
  readonly guidanceScale: number;
  readonly seed: number;
  /** Class number; null for none. */
  readonly classId: number | null;
  /** Positions; null: evenly from the model's shortest to its longest. */
  readonly length: number | null;
}

export interface GeneratedSequence {
  readonly index: number;
  /** Token ids, `[L]`. */
  readonly tokens: Int32Array;
  readonly sequence: string;
  /** What the reward that steered it said of it; null for plain sampling. */
  readonly reward: number | null;
  /** Its log importance weight, where the decoder keeps weights. */
  readonly logWeight: number | null;
  /** Of a search that keeps a tree: the places of its own. */
  readonly tree: readonly GuidedPlace<string>[] | null;
}

/** A decoder and what it follows. */
export interface SteeredBy {
  readonly steering: Steering;
  /** Finite numbers, higher is better, one per sequence. */
  score(sequences: readonly string[]): Promise<Float64Array>;
  /** As the reward was asked for. */
  readonly reward: string;
  /** The same as a graph; absent where the reward has none, and with it no gradient. */
  readonly graph?: SequenceRewardGraph | undefined;
}

export interface GenerateSequencesOptions {
  readonly pipeline: SequencePipeline;
  readonly settings: SequenceSettings;
  /** How many, from number `first` on. */
  readonly count: number;
  /** Default 0. */
  readonly first?: number;
  /** Sequences advanced together; does not change them (unless the decoder replaces some by others). Default 16. */
  readonly batch?: number;
  readonly steered?: SteeredBy;
  readonly onStep?: (report: SequenceStep & { readonly done: number; readonly batch: number }) => void;
  /** Asked before every step; stops by throwing. */
  readonly checkpoint?: () => void;
}

/** After each step of a batch. */
export interface SequenceStep {
  readonly step: number;
  readonly total: number;
  /** Of each sequence of the batch, what steering compared; null where nothing steers. */
  readonly guided: readonly GuidedStep<string>[] | null;
}

/** @throws {NorthlightError} of the model folder, the scheduler configuration or the runtime. */
export async function loadSequencePipeline(
  directory: string | SequenceModel,
  options: SequencePipelineOptions = {},
): Promise<SequencePipeline> {
  const model = typeof directory === 'string' ? openSequenceModel(directory) : directory;
  return model.kind === 'masked' ? await loadMaskedPipeline(model, options) : await loadOneHotPipeline(model, options);
}

/**
 * The number of a class by its name, or by its number.
 * @throws {NorthlightError} `sampling/class` when the model has no such class, or none at all, or needs one.
 */
export function classIdOf(model: SequenceModel, name: string | undefined): number | null {
  const { classes, nullClass } = model;
  const known = `It knows ${classes.join(', ')}.`;
  if (name === undefined) {
    if (classes.length === 0 || nullClass !== null) return null;
    throw new NorthlightError('sampling/class', `${model.name} makes sequences of a class, and none was named.`, known);
  }
  if (classes.length === 0) {
    throw new NorthlightError(
      'sampling/class',
      `${model.name} has no classes, so it has no "${name}".`,
      'Leave the class out.',
    );
  }
  const named = classes.indexOf(name);
  if (named >= 0) return named;
  if (/^\d+$/.test(name) && (Number(name) < classes.length || Number(name) === nullClass)) return Number(name);
  const hint = suggestion(name, classes) || known;
  throw new NorthlightError('sampling/class', `${model.name} has no class "${name}".`, hint);
}

/** The settings with what the model's own configuration says where they are silent. */
export function withDefaults(pipeline: SequencePipeline, s: SequenceSettings) {
  if (isMasked(pipeline)) {
    const { sampler, num_inference_steps } = pipeline.scheduler;
    return { ...s, scheduler: s.scheduler ?? sampler, steps: s.steps ?? num_inference_steps };
  }
  const configured = pipeline.model.schedulerConfig.num_inference_steps;
  return {
    ...s,
    scheduler: s.scheduler ?? samplerOf(pipeline.scheduler),
    steps: s.steps ?? (typeof configured === 'number' ? configured : DEFAULT_STEPS),
  };
}

/** Makes the sequences one batch after another and gives each as soon as its batch is finished. */
export async function* generateSequences(options: GenerateSequencesOptions): AsyncGenerator<GeneratedSequence> {
  const { pipeline, count, first = 0 } = options;
  const { model } = pipeline;
  refuseUnfit(model, options.settings);
  const settings = withDefaults(pipeline, options.settings);
  const batch = options.batch ?? 16;
  for (let done = 0; done < count; done += batch) {
    const indices = Array.from({ length: Math.min(batch, count - done) }, (_, i) => first + done + i);
    const loop = isMasked(pipeline)
      ? startMasked(pipeline, settings, indices, options.steered)
      : startOneHot(pipeline, settings, indices, options.steered);
    options.checkpoint?.();
    const {
      tokens: all,
      rewards,
      logWeights,
      trees,
    } = await followSteps(loop, (step) => {
      options.onStep?.({ ...step, done, batch: indices.length });
      options.checkpoint?.();
    });
    for (const [i, tokens] of all.entries()) {
      yield {
        index: indices[i]!,
        tokens,
        sequence: written(model, tokens),
        reward: rewards?.[i] ?? null,
        logWeight: logWeights?.[i] ?? null,
        tree: trees?.[i] ?? null,
      };
    }
  }
}

const written = (model: SequenceModel, tokens: Int32Array): string =>
  Array.from(tokens, (t) => model.alphabet[t]).join('');

const isMasked = (pipeline: SequencePipeline): pipeline is MaskedPipeline => pipeline.model.kind === 'masked';

interface Finished {
  /** One per index. */
  readonly tokens: readonly Int32Array[];
  readonly rewards?: Float64Array;
  readonly logWeights?: Float64Array | null;
  readonly trees?: readonly (readonly GuidedPlace<string>[] | null)[];
}

type Loop = AsyncGenerator<SequenceStep, Finished>;

type Settings = ReturnType<typeof withDefaults>;

/** Indices of the rows that compete for each sample; of one row, its own. */
const competitors = (indices: readonly number[], n: number): number[] =>
  indices.flatMap((index) => Array.from({ length: n }, (_, k) => index * n + k));

async function* startMasked(
  pipeline: MaskedPipeline,
  s: Settings,
  indices: readonly number[],
  steered: SteeredBy | undefined,
): Loop {
  const { scheduler, model } = pipeline;
  const lengths = indices.map((index) => lengthOf(model, s, index));
  const schedule = createMaskedSchedule(scheduler, {
    name: s.scheduler as SequenceSamplerName,
    steps: s.steps,
    length: Math.max(...lengths),
  });
  const denoiser = pipeline.denoiser(s.guidanceScale);
  const perSample = steered?.steering.perSample ?? 1;
  const rows = competitors(indices, perSample).map((index, i) => ({
    condition: s.classId,
    seed: s.seed,
    index,
    start: pipeline.start(lengths[Math.floor(i / perSample)]!),
  }));
  const cut = (tokens: Int32Array, row: number) => tokens.slice(0, lengths[Math.floor(row / perSample)]);
  if (steered === undefined) {
    const finished = yield* unguided(maskedLoop(denoiser, schedule, rows));
    return { tokens: finished.map(cut) };
  }
  const score: Score = (samples, of) =>
    steered.score(samples.map((tokens, k) => written(model, cut(tokens as Int32Array, of[k]!))));
  const lengthsOfRows = rows.map((_, row) => lengths[Math.floor(row / perSample)]!);
  const lettersOf = (guess: Clean, i: number) => written(model, cut(guess as Int32Array, i * perSample));
  const decoded = yield* guided(
    withAids(
      steered,
      model,
      (graph) => openMaskedSlope(pipeline, lengthsOfRows, graph, pipeline.session),
      (aids) => steered.steering.masked({ denoiser, schedule, rows }, score, aids),
    ),
    indices.length,
    perSample,
    lettersOf,
  );
  const tokens = decoded.samples.map((sample, i) => (sample as Int32Array).slice(0, lengths[i]));
  const trees = indices.map((_, i) => shownTree(decoded, i, (guess) => lettersOf(guess, i)));
  return { tokens, rewards: decoded.rewards, logWeights: decoded.logWeights, trees };
}

async function* startOneHot(
  pipeline: OneHotPipeline,
  s: Settings,
  indices: readonly number[],
  steered: SteeredBy | undefined,
): Loop {
  const { scheduler } = pipeline;
  const schedule = createGaussianSchedule(scheduler, {
    name: s.scheduler as SamplerName,
    steps: s.steps,
    eta: s.eta,
  });
  const denoiser = pipeline.denoiser(s.guidanceScale);
  const rows = competitors(indices, steered?.steering.perSample ?? 1).map((index) => ({
    condition: s.classId,
    seed: s.seed,
    index,
    noiseIndex: index,
  }));
  if (steered === undefined) {
    const { samples } = yield* unguided(sampleLoop({ denoiser, schedule, rows, keepTrajectory: false }));
    const size = samples.length / indices.length;
    return { tokens: indices.map((_, i) => pipeline.decode(samples.subarray(i * size, (i + 1) * size))) };
  }
  const score: Score = (samples) =>
    steered.score(samples.map((sample) => written(pipeline.model, pipeline.decode(sample as Float32Array))));
  const lettersOf = (guess: Clean) => written(pipeline.model, pipeline.decode(guess as Float32Array));
  const { steering, graph } = steered;
  const through = steering.throughNetwork ?? false;
  const slope = graph && through ? openOneHotNetworkSlope(pipeline, s.guidanceScale, schedule, graph) : undefined;
  let decoded: Decoded;
  try {
    decoded = yield* guided(
      withAids(
        steered,
        pipeline.model,
        async (own) => (through ? undefined : openOneHotSlope(pipeline, own, pipeline.session)),
        (aids) => steering.gaussian({ denoiser, schedule, rows, ...(slope && { slope }) }, score, aids),
      ),
      indices.length,
      steering.perSample,
      lettersOf,
    );
  } finally {
    await slope?.close();
  }
  const tokens = decoded.samples.map((sample) => pipeline.decode(sample as Float32Array));
  const trees = indices.map((_, i) => shownTree(decoded, i, lettersOf));
  return { tokens, rewards: decoded.rewards, logWeights: decoded.logWeights, trees };
}

const unguided = <R>(
  loop: AsyncGenerator<{ readonly step: number; readonly total: number }, R>,
): AsyncGenerator<SequenceStep, R> => mapSteps(loop, ({ step, total }) => ({ step, total, guided: null }));

/** Steps of a decoder with their best guesses in letters. @param n rows that compete for each of `count` sequences. */
const guided = (
  decoding: Decoding,
  count: number,
  n: number,
  lettersOf: (guess: Clean, i: number) => string,
): AsyncGenerator<SequenceStep, Decoded> =>
  mapSteps(decoding, (told) => {
    const own = Array.from({ length: count }, (_, i) =>
      shownStep(guidedStepOf(told, i, n), (guess) => lettersOf(guess, i)),
    );
    return { step: told.step, total: told.total, guided: own };
  });

/** Decodes with what the decoder asks for besides scores; the gradient is closed at the end. */
async function* withAids(
  { steering, reward, graph }: SteeredBy,
  model: SequenceModel,
  open: (graph: SequenceRewardGraph) => Promise<RewardSlope | undefined>,
  decode: (aids: DecodingAids) => Decoding,
): Decoding {
  const slope = graph && steering.needsGradient ? await open(graph) : undefined;
  const target = async () => ({ modelHash: await rememberedModelHash(model.path), reward });
  try {
    return yield* decode({ target, ...(slope ? { slope } : {}) });
  } finally {
    await slope?.close();
  }
}

function lengthOf({ length: [min, max] }: SequenceModel, s: SequenceSettings, index: number): number {
  return s.length ?? min + new Rng(s.seed).fork('length', index).int(max - min + 1);
}

function refuseUnfit(model: SequenceModel, s: SequenceSettings): void {
  const samplers: readonly string[] = model.kind === 'masked' ? SEQUENCE_SAMPLERS : SAMPLERS;
  if (s.scheduler !== undefined && !samplers.includes(s.scheduler)) {
    throw new NorthlightError(
      'scheduler/unsupported',
      `${model.name} is a ${model.kind} model of sequences, which the sampler "${s.scheduler}" does not fit.`,
      `Use one of ${samplers.join(', ')}, or leave it out.`,
    );
  }
  if (s.guidanceScale !== 1 && model.nullClass === null) {
    throw new NorthlightError(
      'sampling/guidance',
      `${model.name} did not learn to do without a class, so there is nothing to guide away from.`,
      'Leave the guidance out, or name the class for "none" as "null_class_id" in denoiser/config.json.',
    );
  }
  const [min, max] = model.length;
  if (s.length !== null && (s.length < min || s.length > max)) {
    throw new NorthlightError(
      'sampling/length',
      `${model.name} makes sequences of ${min === max ? min : `${min} to ${max}`} positions, not ${s.length}.`,
      'Choose a length in that range.',
    );
  }
}
