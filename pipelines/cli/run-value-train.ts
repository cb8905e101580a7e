import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { findFolder } from '#models/families/find-folder.ts';
import { rememberedModelHash } from '#models/families/index.ts';
import { isSequenceFolder } from '#models/families/sequence-model.ts';
import { type ValueData, valueCollector } from '#pipelines/decoding/value-data.ts';
import { saveValueNetwork } from '#pipelines/decoding/value-network.ts';
import { joinedParts, openValueParts } from '#pipelines/decoding/value-parts.ts';
import { trainValueNetwork, valueTrainingOptions } from '#pipelines/decoding/value-training.ts';
import { openReward, scoreWith } from '#pipelines/rewards/open-reward.ts';
import type { Reward } from '#pipelines/rewards/types.ts';
import { generatePictures } from '#pipelines/sampling/generate.ts';
import { generateSequences } from '#pipelines/sampling/generate-sequences.ts';
import type { Steering } from '#pipelines/sampling/steering.ts';
import { usedAdapters } from '#pipelines/sampling/used-adapters.ts';
import { findModel } from './bundled.ts';
import type { Io, WithSettings } from './command.ts';
import type { MakeOptions } from './make-options.ts';
import { openPictures, pictureSettings, readPrompts } from './open-pictures.ts';
import { openSequences, pictureOnly, refuseForSequences } from './open-sequences.ts';
import { summarise } from './reward-summary.ts';

export interface ValueTrained {
  readonly directory: string;
  readonly samples: number;
  /** Those that were not there before. */
  readonly made: number;
  readonly seconds: number;
  readonly denoiserCalls: number;
  readonly alpha: number;
  /** Of values and rewards of samples that it did not learn from, by thirds of the way. */
  readonly correlation: readonly number[] | null;
  readonly rewards: ReturnType<typeof summarise>;
}

interface Options extends MakeOptions, WithSettings {
  readonly reward: string;
  readonly out: string;
  readonly count: number;
  readonly states: number;
}

/** Samples that are collected between two files. */
const PART = 8;

/** Plain samples of a model, a few at a time. */
interface Source {
  /** What they depend on. */
  readonly identity: object;
  readonly modelHash: string;
  readonly calls: { readonly count: number };
  make(
    from: number,
    count: number,
    steering: Steering,
    reward: Reward,
    onStep: (share: number) => void,
    checkpoint: () => void,
  ): Promise<void>;
  close(): Promise<void>;
}

/** `northlight value train`: collects states of plain samples, and trains a network to know what they are worth. */
export async function runValueTrain(options: Options, io: Io): Promise<ValueTrained> {
  const started = performance.now();
  const directory = resolve(options.out);
  const source = await openSource(options, io);
  const threads = options.threads ? { threads: options.threads } : {};
  const reward = (await openReward([options.reward], threads))!;
  const checkpoint = () => io.signal.throwIfAborted();
  try {
    const { reward: spec, states: statesEach, count, seed } = options;
    const identity = createHash('sha256')
      .update(JSON.stringify({ ...source.identity, model: source.modelHash, reward: spec, statesEach, seed }))
      .digest('hex');
    const kept = openValueParts(join(directory, 'states'), identity);
    io.whenStopped(`The states collected so far are kept in ${directory}. The same command goes on from them.`);
    const parts: ValueData[] = [];
    let made = 0;
    for (let from = 0; from < count; from += PART) {
      const wanted = Math.min(PART, count - from);
      let part = kept.read(from / PART);
      if (part === null || part.rewards.length < wanted) {
        const collected: ValueData[] = [];
        const collector = valueCollector(statesEach, (data) => collected.push(data));
        const onStep = (share: number) => io.progress('plain samples', from + share * wanted, count);
        await source.make(from, wanted, collector, reward, onStep, checkpoint);
        part = joinedParts(collected);
        kept.write(from / PART, part);
        made += wanted;
      }
      parts.push(part);
    }
    const data = joinedParts(parts);
    const training = valueTrainingOptions.parse(options.set);
    const network = await trainValueNetwork(
      data,
      { modelHash: source.modelHash, reward: spec },
      { ...training, ...threads, seed },
      ({ step }) => {
        io.progress('training', step, training.updates);
        return !io.signal.aborted;
      },
    );
    checkpoint();
    saveValueNetwork(directory, network);
    const { alpha, correlation } = network.card;
    if (correlation !== null && Math.max(...correlation) < USEFUL) {
      io.note(
        'The network tells hardly anything about samples it did not learn from: more of them may help (--count).',
      );
    }
    return {
      directory,
      samples: data.rewards.length,
      made,
      seconds: (performance.now() - started) / 1000,
      denoiserCalls: source.calls.count,
      alpha,
      correlation,
      rewards: summarise([...data.rewards]),
    };
  } finally {
    await reward.close();
    await source.close();
  }
}

/** Below this correlation, choosing by values is hardly better than choosing by chance. */
const USEFUL = 0.2;

async function openSource(options: Options, io: Io): Promise<Source> {
  const found = findFolder(findModel(options.model));
  if (isSequenceFolder(found)) {
    refuseForSequences(pictureOnly(options));
    const { pipeline, settings, adapters } = await openSequences(found, options, io);
    return {
      identity: { settings, adapters },
      modelHash: await rememberedModelHash(pipeline.model.path),
      calls: pipeline.calls,
      async make(from, count, steering, reward, onStep, checkpoint) {
        const score = (sequences: readonly string[]) =>
          scoreWith(
            reward,
            sequences.map((sequence) => ({ kind: 'sequence', sequence })),
          );
        const stream = generateSequences({
          pipeline,
          settings,
          first: from,
          count,
          steered: { steering, reward: options.reward, score },
          onStep: ({ step, total }) => onStep(step / total),
          checkpoint,
        });
        for await (const _ of stream);
      },
      close: pipeline.close,
    };
  }
  const { pipeline } = await openPictures(options, io);
  // Values are of steps with noise, as steering takes them.
  const settings = { ...pictureSettings(options, pipeline, true), keepTrajectories: false };
  const prompts = readPrompts(options, pipeline);
  return {
    identity: { settings, prompts, adapters: usedAdapters(pipeline.options) },
    modelHash: await rememberedModelHash(pipeline.folder.path),
    calls: pipeline.calls,
    async make(from, count, steering, reward, onStep, checkpoint) {
      const requests = Array.from({ length: count }, (_, i) => {
        const index = from + i;
        return { prompt: prompts[index % prompts.length]!, index, noiseIndex: index };
      });
      const stream = generatePictures({
        pipeline,
        settings,
        requests,
        batch: count,
        steered: { steering, reward: options.reward, score: (items) => scoreWith(reward, items) },
        onStep: ({ step, total }) => onStep(step / total),
        onNote: (message) => io.note(message),
        checkpoint,
      });
      for await (const _ of stream);
    },
    close: pipeline.close,
  };
}
