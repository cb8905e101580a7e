import { createHash } from 'node:crypto';
import { NorthlightError } from '#models/errors.ts';
import { rememberedModelHash } from '#models/families/index.ts';
import { latentDims } from '#models/families/model-folder.ts';
import { numel } from '#models/tensor/tensor.ts';
import { encodePng, tensorToRgb } from '#pipelines/images/images.ts';
import { createGaussianSchedule, type SamplerName, samplerOf } from '#pipelines/schedulers/index.ts';
import type { GaussianSchedule } from '#pipelines/schedulers/types.ts';
import { followSteps, mapSteps } from './follow-steps.ts';
import { type GuidedPlace, type GuidedStep, guidedStepOf, shownStep, shownTree } from './guided-step.ts';
import { skippedSteps } from './image-to-image.ts';
import { latentPreview, type PreviewPicture } from './latent-preview.ts';
import { initialNoiseOf, type SampleResult, type SampleRow, type SampleStep, sampleLoop } from './loop.ts';
import { openPictureNetworkSlope, openPictureSlope, type PictureRewardGraph } from './picture-slope.ts';
import { type PictureStart, type PreparedStart, prepareStart } from './picture-start.ts';
import { type ImagePipeline, type NetworkDenoiser, type PromptCondition, sizeOf } from './pipeline.ts';
import { settingsText } from './settings-text.ts';
import type { Clean, Decoded, DecodingAids, NetworkSlope, Score, Steering } from './steering.ts';
import type { Trajectory, TrajectoryMetadata } from './trajectory.ts';
import { usedAdapters } from './used-adapters.ts';
import type { Tiling } from './vae.ts';

/** How to sample; the same settings and seed give the same bytes on CPU, at any batch. */
export interface SamplingSettings {
  /** Default: what the model's own scheduler configuration names. */
  readonly scheduler?: SamplerName | undefined;
  readonly steps: number;
  readonly eta: number;
  readonly guidanceScale: number;
  readonly negativePrompt: string;
  readonly seed: number;
  /** Every state with its log-probability. Needs noise at every step: eta > 0 or DDPM. */
  readonly keepTrajectories: boolean;
  /** Pixels; default: the model's usual size. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  /** How latents become pictures; default `auto`. */
  readonly tile?: Tiling | undefined;
}

/** One picture to make. Its noise is a function of (seed, index); pictures with one `noiseIndex` start alike. */
export interface PictureRequest {
  readonly prompt: string;
  readonly index: number;
  readonly noiseIndex: number;
}

export interface Picture extends PictureRequest {
  /** Place in the list of requests. */
  readonly position: number;
  /** Float32 `[C, H, W]` as the scheduler left it. */
  readonly sample: Float32Array;
  readonly rgb: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly png: Buffer;
  /** SHA-256 of `png`. */
  readonly hash: string;
  readonly trajectory: { readonly data: Trajectory; readonly origin: TrajectoryMetadata } | null;
  /** What the reward that steered it said of it; null for plain sampling. */
  readonly reward: number | null;
  /** Its log importance weight, where the decoder keeps weights. */
  readonly logWeight: number | null;
  /** Of a search that keeps a tree: the places of its own. */
  readonly tree: readonly GuidedPlace<PreviewPicture>[] | null;
}

/** A decoder and what it follows. */
export interface PicturesSteeredBy {
  readonly steering: Steering;
  /** As the reward was asked for, for the record. */
  readonly reward: string;
  /** Finite numbers, higher is better, one per picture. */
  score(pictures: readonly SteeredPicture[]): Promise<Float64Array>;
  /** The same as a graph; absent where the reward has none, and with it no gradient. */
  readonly graph?: PictureRewardGraph | undefined;
}

/** What a steering reward sees: finished pictures, or best guesses at them. */
export interface SteeredPicture {
  readonly kind: 'image';
  readonly rgb: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly prompt: string;
}

export interface GenerateOptions {
  readonly pipeline: ImagePipeline;
  readonly settings: SamplingSettings;
  readonly requests: readonly PictureRequest[];
  /** Pictures advanced together: a matter of previews only. Default 4. */
  readonly batch?: number;
  /** Unit normal start `[N, C, H, W]` for all requests, in place of seeded noise. */
  readonly initialNoise?: Float32Array;
  /** A picture that all of them start from, in place of noise alone. */
  readonly start?: PictureStart;
  readonly steered?: PicturesSteeredBy;
  /** Told what a person may want to know: that memory was short, or a prompt too long. */
  readonly onNote?: (message: string) => void;
  /**
   * After every step; at every `previewEvery`-th, `preview` gives the predicted clean picture of row `i` of the batch, small
   * where samples are latents, and null where it cannot be had without decoding.
   */
  readonly onStep?: (report: StepReport) => void | Promise<void>;
  readonly previewEvery?: number;
  /** Asked before every step; stops by throwing. */
  readonly checkpoint?: () => void;
}

export interface StepReport {
  readonly positions: readonly number[];
  readonly step: number;
  readonly total: number;
  readonly preview: ((row: number) => PreviewPicture | null) | null;
  /** Of each row of the batch, what steering compared at this step; null where nothing steers. */
  readonly candidates: readonly GuidedStep<PreviewPicture>[] | null;
}

/**
 * @param strength how much of a start picture may change; 1 where there is none.
 * @throws {NorthlightError} `sampling/no-noise` when trajectories are wanted of a deterministic sampler, `sampling/strength`.
 */
export function scheduleOf(pipeline: ImagePipeline, s: SamplingSettings, strength = 1): GaussianSchedule {
  const ddim = (s.scheduler ?? samplerOf(pipeline.scheduler)) === 'ddim';
  if (s.keepTrajectories && ddim && s.eta === 0) {
    throw new NorthlightError(
      'sampling/no-noise',
      'DDIM with eta 0 has no noise, so its steps have no probability to learn from.',
      'Set eta above 0 (1 is usual), or do not keep trajectories.',
    );
  }
  const skipSteps = skippedSteps(s.steps, strength);
  if (s.keepTrajectories && skipSteps === s.steps) {
    throw new NorthlightError(
      'sampling/strength',
      `At strength ${strength} none of ${s.steps} steps is left, so there is nothing to learn from.`,
      'Raise the strength or the steps, or do not keep trajectories.',
    );
  }
  return createGaussianSchedule(pipeline.scheduler, {
    ...(s.scheduler ? { name: s.scheduler } : {}),
    steps: s.steps,
    eta: s.eta,
    finalAlphaCumprod: s.keepTrajectories ? 'keep-noise' : 'config',
    imageSequenceLength: tokensOf(pipeline, s),
    skipSteps,
  });
}

/** Tokens that a transformer makes of a sample: one per 2×2 patch. */
function tokensOf({ folder, model }: ImagePipeline, s: SamplingSettings): number {
  const [, height, width] = latentDims(model, sizeOf(folder, s));
  return (height * width) / 4;
}

/** Makes the pictures one batch after another and gives each as soon as it is finished. */
export async function* generatePictures(options: GenerateOptions): AsyncGenerator<Picture> {
  // Gigabytes are read while the first picture is made; a failure is told when the hash is needed.
  const stop = new AbortController();
  const hashing = hashOfModel(options.pipeline, stop.signal);
  hashing.catch(() => {});
  const { steered, pipeline, settings } = options;
  const pixels = sizeOf(pipeline.folder, settings);
  const dims = latentDims(pipeline.model, pixels);
  const { graph, steering } = steered ?? {};
  const through = steering?.throughNetwork;
  const slope =
    graph && steering?.needsGradient && !through ? await openPictureSlope(pipeline, dims, graph) : undefined;
  const { guidanceScale } = settings;
  const networkSlope =
    graph && through
      ? openPictureNetworkSlope(pipeline, { ...pixels, guidanceScale }, scheduleOf(pipeline, settings), dims, graph)
      : undefined;
  try {
    const target = async () => ({ modelHash: await hashing, reward: steered?.reward ?? '' });
    yield* picturesOf(options, hashing, { target, ...(slope ? { slope } : {}) }, networkSlope);
  } finally {
    stop.abort();
    await slope?.close();
    await networkSlope?.close();
  }
}

async function* picturesOf(
  options: GenerateOptions,
  hashing: Promise<string>,
  aids: DecodingAids,
  slope: NetworkSlope<PromptCondition> | undefined,
): AsyncGenerator<Picture> {
  const { pipeline, settings, requests, steered } = options;
  if (steered) refuseSteered(options);
  const schedule = scheduleOf(pipeline, settings, options.start?.strength);
  const pixels = sizeOf(pipeline.folder, settings);
  const dims = latentDims(pipeline.model, pixels);
  const begin = options.start && (await prepareStart(pipeline.model, await pipeline.encoder(), options.start, dims));
  const denoiser = pipeline.denoiser(settings.guidanceScale, {
    ...pixels,
    ...(begin?.extraChannels ? { extraChannels: begin.extraChannels } : {}),
  });
  const size = numel(dims);
  const adapters = usedAdapters(pipeline.options);
  const batch = options.batch ?? 4;
  const told = new Set<string>();
  const tellUnread = (text: string, unread = '') => {
    if (unread === '' || told.has(text)) return;
    told.add(text);
    options.onNote?.(`The model has no room for the end of “${text}”: it does not read “${unread}”.`);
  };
  for (let start = 0; start < requests.length; start += batch) {
    const chunk = requests.slice(start, start + batch);
    const conditions = await pipeline.encode(
      chunk.map((r) => r.prompt),
      settings.negativePrompt,
    );
    for (const [i, { unread }] of conditions.entries()) tellUnread(chunk[i]!.prompt, unread?.prompt);
    tellUnread(settings.negativePrompt, conditions[0]?.unread?.negative);
    const rowOf = (r: PictureRequest): SampleRow<PromptCondition> => ({
      // One and the same for one prompt: decoders may let such pictures take each other's places.
      condition: conditions[chunk.findIndex((other) => other.prompt === r.prompt)]!,
      seed: settings.seed,
      index: r.index,
      noiseIndex: r.noiseIndex,
    });
    const loop = steered
      ? steeredLoop(
          { denoiser, schedule, rows: chunk.map(rowOf), size, ...(slope && { slope }) },
          steered,
          async (sample, row) => {
            const { data, width, height } = await pipeline.decode(sample, dims);
            return { kind: 'image', rgb: tensorToRgb(data, width, height), width, height, prompt: chunk[row]!.prompt };
          },
          aids,
          options.previewEvery,
        )
      : plainLoop({ denoiser, schedule, rows: chunk.map(rowOf), size }, start, options, begin);
    const positions = chunk.map((_, i) => start + i);
    const seen = (guess: Clean) => latentPreview(pipeline.model, guess as Float32Array, dims);
    options.checkpoint?.();
    const result = await followSteps(loop, async ({ step, total, predOriginalSample: clean, candidates: own }) => {
      const preview =
        clean && ((row: number) => latentPreview(pipeline.model, clean.subarray(row * size, (row + 1) * size), dims));
      const candidates = own?.map((compared) => shownStep(compared, seen)) ?? null;
      await options.onStep?.({ positions, step, total, preview, candidates });
      options.checkpoint?.();
    });
    const modelHash = await hashing;
    for (const [i, request] of chunk.entries()) {
      const sample = result.samples.slice(i * size, (i + 1) * size);
      const decoded = await pipeline.decode(sample, dims, {
        ...(settings.tile !== undefined ? { tile: settings.tile } : {}),
        ...(options.onNote ? { onSmallerTiles: options.onNote } : {}),
      });
      const { width, height, tile } = decoded;
      const rgb = tensorToRgb(begin?.finish(decoded.data) ?? decoded.data, width, height);
      const text = settingsText({
        ...request,
        model: { name: pipeline.folder.name, hash: modelHash },
        adapters,
        negativePrompt: settings.negativePrompt,
        seed: settings.seed,
        startHash: startHashOf(
          settings,
          request,
          size,
          options.initialNoise?.subarray((start + i) * size, (start + i + 1) * size),
        ),
        scheduler: settings.scheduler ?? samplerOf(pipeline.scheduler),
        schedulerConfig: pipeline.scheduler,
        steps: settings.steps,
        eta: settings.eta,
        guidanceScale: settings.guidanceScale,
        keepTrajectories: settings.keepTrajectories,
        width,
        height,
        clipSkip: pipeline.options.clipSkip ?? 1,
        denoising: options.start?.strength ?? null,
        ...(options.start ? { start: hashesOf(options.start) } : {}),
        ...(tile !== null ? { tile } : {}),
        ...(steered ? { steering: recordOf(steered) } : {}),
        provider: pipeline.options.provider ?? 'cpu',
      });
      const png = await encodePng(rgb, width, height, text);
      const data = result.trajectories?.[i];
      yield {
        ...request,
        position: start + i,
        sample,
        rgb,
        width,
        height,
        png,
        hash: createHash('sha256').update(png).digest('hex'),
        trajectory: data ? { data, origin: originOf(options, schedule, request, modelHash, adapters) } : null,
        reward: result.rewards?.[i] ?? null,
        logWeight: result.logWeights?.[i] ?? null,
        tree: result.decoded ? shownTree(result.decoded, i, seen) : null,
      };
    }
  }
}

/** A run draws many strips with one pipeline, whose networks were opened once. */
const modelHashes = new WeakMap<ImagePipeline, string>();

async function hashOfModel(pipeline: ImagePipeline, signal: AbortSignal): Promise<string> {
  const hash = modelHashes.get(pipeline) ?? (await rememberedModelHash(pipeline.folder.path, { signal }));
  modelHashes.set(pipeline, hash);
  return hash;
}

interface Work {
  readonly denoiser: NetworkDenoiser;
  readonly schedule: GaussianSchedule;
  readonly rows: readonly SampleRow<PromptCondition>[];
  /** Numbers of one sample. */
  readonly size: number;
  /** What the decoder is led along, where that goes through the network. */
  readonly slope?: NetworkSlope<PromptCondition>;
}

type Loop = AsyncGenerator<
  Pick<SampleStep, 'step' | 'total' | 'predOriginalSample'> & { readonly candidates?: readonly GuidedStep[] },
  SampleResult & {
    readonly rewards?: Float64Array;
    readonly logWeights?: Float64Array | null;
    readonly decoded?: Decoded;
  }
>;

function plainLoop(work: Work, first: number, options: GenerateOptions, begin: PreparedStart | undefined): Loop {
  const { denoiser, schedule, rows, size } = work;
  return sampleLoop({
    denoiser,
    schedule,
    rows,
    keepTrajectory: options.settings.keepTrajectories,
    ...begin?.of(rows),
    ...(options.previewEvery ? { previewEvery: options.previewEvery } : {}),
    ...(options.initialNoise
      ? { initialNoise: options.initialNoise.subarray(first * size, (first + rows.length) * size) }
      : {}),
  });
}

/** @param pictureOf a sample of a row of `work` as the reward sees it. */
async function* steeredLoop(
  { rows, size, ...work }: Work,
  { steering, score }: PicturesSteeredBy,
  pictureOf: (sample: Float32Array, row: number) => Promise<SteeredPicture>,
  aids: DecodingAids,
  previewEvery: number | undefined,
): Loop {
  const n = steering.perSample;
  // Pictures that start alike do so with each of their competitors.
  const competitors = rows.flatMap((row) =>
    Array.from({ length: n }, (_, k) => ({ ...row, index: row.index * n + k, noiseIndex: row.noiseIndex * n + k })),
  );
  const appraise: Score = async (samples, of) => {
    const pictures: SteeredPicture[] = [];
    for (const [k, sample] of samples.entries()) {
      pictures.push(await pictureOf(sample as Float32Array, Math.floor(of[k]! / n)));
    }
    return score(pictures);
  };
  const loop = steering.gaussian({ ...work, rows: competitors }, appraise, aids);
  const decoded = yield* mapSteps(loop, (told) => {
    const { step, total } = told;
    const candidates = rows.map((_, i) => guidedStepOf(told, i, n));
    const preview = previewEvery !== undefined && step % previewEvery === 0;
    const shown = preview ? rows.map((_, i) => told.guess(i * n) as Float32Array | null) : [null];
    const predOriginalSample = shown.includes(null) ? null : joined(shown as Float32Array[], size);
    return { step, total, predOriginalSample, candidates };
  });
  const { samples, rewards, logWeights } = decoded;
  return { samples: joined(samples as Float32Array[], size), rewards, logWeights, decoded };
}

function joined(parts: readonly Float32Array[], size: number): Float32Array {
  const out = new Float32Array(parts.length * size);
  for (const [i, part] of parts.entries()) out.set(part, i * size);
  return out;
}

function recordOf({ steering, reward }: PicturesSteeredBy) {
  return { decoder: steering.name, reward, options: steering.options };
}

function refuseSteered({ settings, initialNoise, start }: GenerateOptions): void {
  const what = settings.keepTrajectories
    ? 'kept trajectories: the law of steered steps is not the model’s own'
    : initialNoise
      ? 'given starting noise'
      : start
        ? 'a picture to start from'
        : null;
  if (what === null) return;
  throw new NorthlightError('sampling/steered', `Steered sampling does not go with ${what}.`, 'Leave one of them out.');
}

const hashesOf = ({ pictureHash, maskHash }: PictureStart) => ({ picture: pictureHash, mask: maskHash });

/** SHA-256 of the starting noise of one picture, `size` numbers: those of the seed, unless others were given. */
export function startHashOf(
  s: Pick<SamplingSettings, 'seed'>,
  r: Pick<PictureRequest, 'noiseIndex'>,
  size: number,
  given?: Float32Array,
): string {
  const noise = given ?? initialNoiseOf({ seed: s.seed, noiseIndex: r.noiseIndex }, size);
  return createHash('sha256')
    .update(new Uint8Array(noise.buffer, noise.byteOffset, noise.byteLength))
    .digest('hex');
}

function originOf(
  options: GenerateOptions,
  schedule: GaussianSchedule,
  r: PictureRequest,
  modelHash: string,
  adapters: readonly { readonly hash: string }[],
): TrajectoryMetadata {
  const { settings, pipeline } = options;
  return {
    seed: settings.seed,
    index: r.index,
    noiseIndex: r.noiseIndex,
    prompt: r.prompt,
    negativePrompt: settings.negativePrompt,
    guidanceScale: settings.guidanceScale,
    scheduler: schedule.name,
    eta: settings.eta,
    predictionType: schedule.predictionType,
    modelHash,
    adapterHash: adapters.map((a) => a.hash).join('+') || null,
    schedulerConfig: { ...pipeline.folder.schedulerConfig },
    ...(pipeline.options.clipSkip ? { clipSkip: pipeline.options.clipSkip } : {}),
    ...(options.start ? { start: { ...hashesOf(options.start), strength: options.start.strength } } : {}),
  };
}
