import { resolve } from 'node:path';
import { findFolder } from '#models/families/find-folder.ts';
import { isSequenceFolder } from '#models/families/sequence-model.ts';
import { readBank } from '#pipelines/bank/bank.ts';
import { growBank } from '#pipelines/bank/grow.ts';
import { defaultSamples } from '#pipelines/bank/key.ts';
import { pictureSource } from '#pipelines/bank/picture-source.ts';
import { scoreBank } from '#pipelines/bank/score-bank.ts';
import { parseRewardSpec } from '#pipelines/rewards/spec.ts';
import { findModel } from './bundled.ts';
import type { Io } from './command.ts';
import type { MakeOptions } from './make-options.ts';
import { openPictures, pictureSettings, readPrompts } from './open-pictures.ts';
import { openSequences, pictureOnly, refuseForSequences } from './open-sequences.ts';
import { summarise } from './reward-summary.ts';

export interface BankMade {
  readonly key: string;
  readonly directory: string;
  readonly samples: number;
  /** Those that were not there before. */
  readonly made: number;
  readonly seconds: number;
  readonly denoiserCalls: number;
  readonly rewards: Readonly<Record<string, ReturnType<typeof summarise>>>;
}

interface Options extends MakeOptions {
  readonly project: string;
  readonly count?: number | undefined;
  readonly reward: readonly string[];
}

/** `northlight bank make`: plain samples of a model, kept in the project, and what rewards say of them. */
export async function runBankMake(options: Options, io: Io): Promise<BankMade> {
  const started = performance.now();
  const project = resolve(options.project);
  const { pipeline, source } = await openSource(options, io);
  try {
    const before = readBank(project, source.identity);
    const count = options.count ?? defaultSamples(source.identity.prompts.length);
    io.whenStopped(`What was made is kept in ${before.directory}. The same command goes on from it.`);
    const checkpoint = () => io.signal.throwIfAborted();
    const bank = await growBank(before, source, count, {
      onProgress: (done) => io.progress('plain samples', done, count),
      checkpoint,
      onNote: (message) => io.note(message),
    });
    const rewards: Record<string, ReturnType<typeof summarise>> = {};
    for (const { spec } of options.reward.map(parseRewardSpec)) {
      const onProgress = (done: number) => io.progress(spec, done, bank.items.length);
      const { values } = await scoreBank(bank, spec, hostOf(options), { onProgress, checkpoint });
      rewards[spec] = summarise(values);
    }
    return {
      key: bank.key,
      directory: bank.directory,
      samples: bank.items.length,
      made: bank.items.length - before.items.length,
      seconds: (performance.now() - started) / 1000,
      denoiserCalls: source.calls.count,
      rewards,
    };
  } finally {
    await pipeline.close();
  }
}

const hostOf = ({ threads }: Options) => (threads ? { threads } : {});

async function openSource(options: Options, io: Io) {
  const found = findFolder(findModel(options.model));
  if (isSequenceFolder(found)) {
    refuseForSequences(pictureOnly(options));
    const { pipeline, source } = await openSequences(found, options, io);
    return { pipeline, source: await source() };
  }
  const { pipeline } = await openPictures(options, io);
  // Steering needs steps with noise: so has what it is compared with.
  const settings = { ...pictureSettings(options, pipeline, true), keepTrajectories: false };
  return { pipeline, source: await pictureSource(pipeline, settings, readPrompts(options, pipeline)) };
}
