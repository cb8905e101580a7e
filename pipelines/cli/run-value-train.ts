import { resolve } from 'node:path';
import { findFolder } from '#models/families/find-folder.ts';
import { isSequenceFolder } from '#models/families/sequence-model.ts';
import { learnValues } from '#pipelines/decoding/learn-values.ts';
import { valueLessons } from '#pipelines/decoding/value-lessons.ts';
import type { ValueCard } from '#pipelines/decoding/value-network.ts';
import { pictureValueSource, sequenceValueSource, type ValueSource } from '#pipelines/decoding/value-source.ts';
import { valueTrainingOptions } from '#pipelines/decoding/value-training.ts';
import { openReward } from '#pipelines/rewards/open-reward.ts';
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
  readonly correlation: ValueCard['correlation'];
  readonly guessCorrelation: ValueCard['guessCorrelation'];
  readonly choice: ValueCard['choice'];
  /** Of samples that were not led. */
  readonly rewards: ReturnType<typeof summarise>;
}

interface Options extends MakeOptions, WithSettings {
  readonly reward: string;
  readonly out: string;
  readonly count: number;
  readonly states: number;
  readonly candidates: number;
  readonly led: number;
}

/** `northlight value train`: collects candidates on the way of samples, and trains a network to know what they are worth. */
export async function runValueTrain(options: Options, io: Io): Promise<ValueTrained> {
  const started = performance.now();
  const directory = resolve(options.out);
  const { source, close } = await openSource(options, io);
  const threads = options.threads ? { threads: options.threads } : {};
  const reward = (await openReward([options.reward], threads))!;
  try {
    io.whenStopped(`What was collected so far is kept in ${directory}. The same command goes on from it.`);
    const { card, data, made } = await learnValues(
      directory,
      source,
      { spec: options.reward, reward },
      {
        lessons: valueLessons.parse(options),
        training: valueTrainingOptions.parse(options.set),
        seed: options.seed,
        ...threads,
      },
      {
        onProgress: (stage, done, total) => io.progress(stage, done, total),
        checkpoint: () => io.signal.throwIfAborted(),
        onNote: (message) => io.note(message),
      },
    );
    const { alpha, correlation, guessCorrelation, choice } = card;
    if (choice !== null && Math.max(...choice) < USEFUL) {
      io.note('The network can hardly tell candidates apart: more samples (--count) or updates may help.');
    }
    return {
      directory,
      samples: data.rewards.length,
      made,
      seconds: (performance.now() - started) / 1000,
      denoiserCalls: source.calls.count,
      ...{ alpha, correlation, guessCorrelation, choice },
      rewards: summarise([...data.rewards].filter((_, i) => data.plain[i] === 1)),
    };
  } finally {
    await reward.close();
    await close();
  }
}

/** Below this share of what can be gained, choosing by values is hardly better than choosing by chance. */
const USEFUL = 0.2;

async function openSource(options: Options, io: Io): Promise<{ source: ValueSource; close(): Promise<void> }> {
  const found = findFolder(findModel(options.model));
  if (isSequenceFolder(found)) {
    refuseForSequences(pictureOnly(options));
    const { pipeline, settings, adapters } = await openSequences(found, options, io);
    return { source: await sequenceValueSource(pipeline, settings, adapters), close: pipeline.close };
  }
  const { pipeline } = await openPictures(options, io);
  // Values are of steps with noise, as steering takes them.
  const settings = { ...pictureSettings(options, pipeline, true), keepTrajectories: false };
  return {
    source: await pictureValueSource(pipeline, settings, readPrompts(options, pipeline)),
    close: pipeline.close,
  };
}
