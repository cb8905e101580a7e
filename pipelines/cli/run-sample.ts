import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { rememberedModelHash } from '#models/families/index.ts';
import { latentDims } from '#models/families/model-folder.ts';
import { writeFileAtomic } from '#models/files.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { pictureSource } from '#pipelines/bank/picture-source.ts';
import { scoreWith } from '#pipelines/rewards/open-reward.ts';
import type { ImageItem, Reward } from '#pipelines/rewards/types.ts';
import { generatePictures } from '#pipelines/sampling/generate.ts';
import { readStart } from '#pipelines/sampling/initial-picture.ts';
import type { PictureStart } from '#pipelines/sampling/picture-start.ts';
import { sizeOf } from '#pipelines/sampling/pipeline.ts';
import { writeTrajectory } from '#pipelines/sampling/trajectory.ts';
import { hashAdapter } from '#pipelines/sampling/used-adapters.ts';
import type { Tiling } from '#pipelines/sampling/vae.ts';
import type { CommonOptions, Io, WithSettings } from './command.ts';
import { takeFinished, whatHappened, withKept } from './keep-finished.ts';
import { openPictures, pictureSettings, readPrompts } from './open-pictures.ts';
import { summarise } from './reward-summary.ts';
import type { SampleResult, sampleOptions } from './sample-options.ts';
import { openSteerBy } from './steer-by.ts';
import { steeringOf } from './steering-options.ts';

type Options = z.output<typeof sampleOptions> & CommonOptions & WithSettings;

/** `northlight sample`: pictures, a manifest, and on request tensors and trajectories, into one folder. */
export async function runSample(options: Options, io: Io): Promise<SampleResult> {
  const random = options.keepTrajectories || steeringOf(options) !== null;
  const started = performance.now();
  const { pipeline, provider, adapters } = await openPictures(options, io);
  let reward: Reward | null = null;
  const rewardCalls = { count: 0 };
  const score = async (items: readonly ImageItem[]) => {
    rewardCalls.count += items.length;
    return scoreWith(reward!, items);
  };
  try {
    const prompts = readPrompts(options, pipeline);
    const settings = {
      ...pictureSettings(options, pipeline, random),
      keepTrajectories: options.keepTrajectories,
      ...(options.tile !== undefined ? { tile: parseTile(options.tile) } : {}),
    };
    const pixels = sizeOf(pipeline.folder, settings);
    const dims = latentDims(pipeline.model, pixels);
    const start = await startOf(options, pixels);
    mkdirSync(options.out, { recursive: true });
    const host = options.threads ? { threads: options.threads } : {};
    const by = await openSteerBy(options, host, () => pictureSource(pipeline, settings, prompts), io);
    const { steering, bank } = by;
    reward = by.reward;
    const bankCalls = pipeline.calls.count;
    io.whenStopped(
      `The finished pictures are kept in ${options.out}. The same command makes them again, byte for byte.`,
    );
    const requests = Array.from({ length: options.count }, (_, index) => ({
      prompt: prompts[index % prompts.length]!,
      index,
      noiseIndex: index,
    }));
    const initialNoise = options.init ? readInit(options.init, [options.count, ...dims]) : undefined;
    const samples: Float32Array[] = [];
    const items: ImageItem[] = [];
    const steered: number[] = [];
    const logWeights: number[] = [];
    const files: { file: string; prompt: string; seed: number; index: number; sha256: string }[] = [];
    let stepsDone = 0;
    const totalSteps = options.count * settings.steps;
    const stream = generatePictures({
      pipeline,
      settings,
      requests,
      ...(options.batch ? { batch: options.batch } : {}),
      ...(initialNoise ? { initialNoise } : {}),
      ...(start ? { start } : {}),
      ...(steering ? { steered: { steering, reward: options.reward.join(' '), score, graph: reward?.graph } } : {}),
      onNote: (message) => io.note(message),
      onStep: ({ positions, step }) =>
        io.progress(`picture ${files.length + 1} of ${options.count}`, stepsDone + step * positions.length, totalSteps),
      checkpoint: () => io.signal.throwIfAborted(),
    });
    let failure = await takeFinished(stream, io.signal, (p) => {
      const name = String(p.position).padStart(4, '0');
      writeFileAtomic(join(options.out, `${name}.png`), p.png);
      if (p.trajectory) {
        mkdirSync(join(options.out, 'trajectories'), { recursive: true });
        writeTrajectory(
          join(options.out, 'trajectories', `${name}.safetensors`),
          p.trajectory.data,
          p.trajectory.origin,
        );
      }
      files.push({ file: `${name}.png`, prompt: p.prompt, seed: options.seed, index: p.index, sha256: p.hash });
      if (options.saveTensors) samples.push(p.sample);
      if (p.reward !== null) steered.push(p.reward);
      else if (reward) items.push({ kind: 'image', rgb: p.rgb, width: p.width, height: p.height, prompt: p.prompt });
      if (p.logWeight !== null) logWeights.push(p.logWeight);
      stepsDone += settings.steps;
    });
    let values = steering ? Float32Array.from(steered) : null;
    try {
      if (!steering && reward && items.length > 0) values = Float32Array.from(await score(items));
    } catch (error) {
      failure ??= error;
    }
    if (failure !== undefined && files.length === 0) throw failure;
    if (options.saveTensors) {
      const tensors = new Map<string, Tensor>([['samples', f32([files.length, ...dims], joined(samples))]]);
      if (values) tensors.set('rewards', f32([values.length], values));
      if (logWeights.length > 0) tensors.set('logWeights', f32([logWeights.length], logWeights));
      writeSafetensors(join(options.out, 'samples.safetensors'), tensors);
    }
    const calls = {
      denoiserCalls: pipeline.calls.count - bankCalls,
      rewardCalls: rewardCalls.count,
      valueCalls: steering?.valueCalls?.count ?? 0,
      gradientCalls: steering?.gradientCalls?.count ?? 0,
    };
    const manifest = {
      model: { name: pipeline.folder.name, sha256: await rememberedModelHash(pipeline.folder.path) },
      adapters: adapters.map((a) => ({ weight: a.weight, sha256: hashAdapter(a.path) })),
      settings: { ...settings, ...(options.clipSkip > 1 ? { clipSkip: options.clipSkip } : {}) },
      ...(start ? { start: { sha256: start.pictureHash, mask: start.maskHash, strength: start.strength } } : {}),
      rewards: options.reward,
      ...(options.reward.length > 1 ? { combine: options.combine } : {}),
      ...(options.cap !== undefined ? { cap: options.cap } : {}),
      decode: { name: options.decode, ...steering?.options },
      ...(bank ? { bank } : {}),
      calls,
      provider,
      ...whatHappened(failure, files.length, options.count),
      files,
    };
    writeFileAtomic(join(options.out, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    if (failure !== undefined) throw withKept(failure, `${files.length} finished pictures`, options.out);
    return {
      count: files.length,
      seconds: (performance.now() - started) / 1000,
      ...calls,
      ...(bank ? { bank: { ...bank, denoiserCalls: bankCalls } } : {}),
      ...(values && values.length > 0 ? { rewards: { ...summarise([...values]), values: [...values] } } : {}),
    };
  } finally {
    await reward?.close();
    await pipeline.close();
  }
}

const parseTile = (text: string): Tiling => (text === 'auto' || text === 'off' ? text : Number(text));

/** Full change where a mask says what may change, as usual; else a picture that is still recognised. */
const STRENGTH = { masked: 1, plain: 0.8 } as const;

async function startOf(
  { image, mask, strength }: Options,
  pixels: { readonly width: number; readonly height: number },
): Promise<PictureStart | undefined> {
  if (image !== undefined) {
    return await readStart({ picture: image, mask, strength: strength ?? STRENGTH[mask ? 'masked' : 'plain'] }, pixels);
  }
  if (strength === undefined && mask === undefined) return undefined;
  throw new NorthlightError(
    'usage',
    `--${mask === undefined ? 'strength' : 'mask'} says what of a picture may change, and there is none.`,
    'Give the picture with --image.',
  );
}

function readInit(path: string, dims: readonly number[]): Float32Array {
  const latents = readSafetensors(path).tensors.get('latents');
  if (latents?.dtype !== 'float32' || latents.dims.join() !== dims.join()) {
    throw new NorthlightError(
      'usage',
      `${path} has no float32 tensor "latents" of shape [${dims.join(', ')}].`,
      'Give one unit-normal start per picture.',
    );
  }
  return latents.data as Float32Array;
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const size = parts[0]?.length ?? 0;
  const out = new Float32Array(size * parts.length);
  for (const [i, p] of parts.entries()) out.set(p, i * size);
  return out;
}
