import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { hashModelFolder } from '#models/families/index.ts';
import type { SequenceModel } from '#models/families/sequence-model.ts';
import type { FoundFolder } from '#models/families/types.ts';
import { writeFileAtomic } from '#models/files.ts';
import { writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, i64, type Tensor } from '#models/tensor/tensor.ts';
import { scoreWith } from '#pipelines/rewards/open-reward.ts';
import type { Reward } from '#pipelines/rewards/types.ts';
import { type GeneratedSequence, generateSequences } from '#pipelines/sampling/generate-sequences.ts';
import { formatFasta } from '#pipelines/sequences/sequence-files.ts';
import type { CommonOptions, Io, WithSettings } from './command.ts';
import { takeFinished, whatHappened, withKept } from './keep-finished.ts';
import { openSequences, pictureOnly, refuseForSequences } from './open-sequences.ts';
import { summarise } from './reward-summary.ts';
import type { SampleResult, sampleOptions } from './sample-options.ts';
import { openSteerBy, type SteerBy } from './steer-by.ts';
import { steeringOf } from './steering-options.ts';

type Options = z.output<typeof sampleOptions> & CommonOptions & WithSettings;

/** `northlight sample` for models of sequences: FASTA, a manifest and on request tensors, into one folder. */
export async function runSampleSequences(found: FoundFolder, options: Options, io: Io): Promise<SampleResult> {
  refuseForSequences([
    ...pictureOnly(options),
    ['--init', options.init !== undefined],
    ['--image', options.image !== undefined],
    ['--mask', options.mask !== undefined],
    ['--strength', options.strength !== undefined],
    ['--tile', options.tile !== undefined],
    ['--keep-trajectories', options.keepTrajectories],
  ]);
  const started = performance.now();
  // What cannot be is refused before the model is opened.
  steeringOf(options);
  const opened = await openSequences(found, options, io);
  const { pipeline, settings } = opened;
  let reward: Reward | null = null;
  const rewardCalls = { count: 0 };
  const score = async (sequences: readonly string[]) => {
    rewardCalls.count += sequences.length;
    return scoreWith(
      reward!,
      sequences.map((sequence) => ({ kind: 'sequence', sequence })),
    );
  };
  try {
    mkdirSync(options.out, { recursive: true });
    const by = await openSteerBy(options, opened.session, opened.source, io);
    const { steering } = by;
    reward = by.reward;
    const bankCalls = pipeline.calls.count;
    io.whenStopped(
      `The finished sequences are kept in ${options.out}. The same command makes them again, byte for byte.`,
    );
    const made: GeneratedSequence[] = [];
    const { signal } = io;
    const stream = generateSequences({
      pipeline,
      settings,
      count: options.count,
      ...(options.batch ? { batch: options.batch } : {}),
      ...(steering ? { steered: { steering, reward: options.reward.join(' '), score, graph: reward?.graph } } : {}),
      onStep: ({ done, step, total, batch }) =>
        io.progress(`${done} of ${options.count} sequences`, done + (batch * step) / total, options.count),
      checkpoint: () => signal.throwIfAborted(),
    });
    let failure = await takeFinished(stream, signal, (sequence) => made.push(sequence));
    let rewards: number[] | null = null;
    try {
      if (steering) rewards = made.map((m) => m.reward!);
      else if (reward && made.length > 0) rewards = Array.from(await score(made.map((m) => m.sequence)));
    } catch (error) {
      failure ??= error;
    }
    if (failure !== undefined && made.length === 0) throw failure;
    const calls = {
      denoiserCalls: pipeline.calls.count - bankCalls,
      rewardCalls: rewardCalls.count,
      valueCalls: steering?.valueCalls?.count ?? 0,
      gradientCalls: steering?.gradientCalls?.count ?? 0,
    };
    writeResults(options, { ...opened, by, calls, failure }, made, rewards);
    if (failure !== undefined) throw withKept(failure, `${made.length} finished sequences`, options.out);
    return {
      count: made.length,
      seconds: (performance.now() - started) / 1000,
      ...calls,
      ...(by.bank ? { bank: { ...by.bank, denoiserCalls: bankCalls } } : {}),
      ...(rewards && rewards.length > 0 ? { rewards: { ...summarise(rewards), values: rewards } } : {}),
    };
  } finally {
    await reward?.close();
    await pipeline.close();
  }
}

/** How sequences were made, and what that took. */
interface Work extends Pick<Awaited<ReturnType<typeof openSequences>>, 'model' | 'settings' | 'adapters' | 'provider'> {
  readonly by: SteerBy;
  readonly calls: Readonly<Record<string, number>>;
  /** Why there are not more of them, or no scores; undefined: nothing went wrong. */
  readonly failure: unknown;
}

function writeResults(
  options: Options,
  { model, settings, adapters, provider, by, calls, failure }: Work,
  made: readonly GeneratedSequence[],
  rewards: readonly number[] | null,
): void {
  const name = settings.classId === null ? undefined : (model.classes[settings.classId] ?? String(settings.classId));
  const records = made.map(({ index, sequence }, i) => ({
    id: String(index).padStart(4, '0'),
    index,
    sequence,
    ...(rewards ? { reward: rewards[i]! } : {}),
  }));
  const fasta = records.map(({ id, index, sequence, reward }) => ({
    id,
    sequence,
    description: [
      `seed=${settings.seed}`,
      `index=${index}`,
      ...(name === undefined ? [] : [`class=${name.replaceAll(/\s+/g, '_')}`]),
      ...(reward === undefined ? [] : [`reward=${reward}`]),
    ].join(' '),
  }));
  writeFileAtomic(join(options.out, 'samples.fasta'), formatFasta(fasta));
  if (options.saveTensors) {
    const tensors = new Map<string, Tensor>([['samples', tokensOf(model, made)]]);
    if (rewards) tensors.set('rewards', f32([rewards.length], rewards));
    const logWeights = made.flatMap((m) => (m.logWeight === null ? [] : [m.logWeight]));
    if (logWeights.length > 0) tensors.set('logWeights', f32([logWeights.length], logWeights));
    writeSafetensors(join(options.out, 'samples.safetensors'), tensors);
  }
  const manifest = {
    model: { name: model.name, sha256: hashModelFolder(model.path) },
    adapters,
    settings: { ...settings, class: name ?? null },
    rewards: options.reward,
    ...(options.reward.length > 1 ? { combine: options.combine } : {}),
    ...(options.cap !== undefined ? { cap: options.cap } : {}),
    decode: { name: options.decode, ...by.steering?.options },
    ...(by.bank ? { bank: by.bank } : {}),
    calls,
    provider,
    ...whatHappened(failure, made.length, options.count),
    file: 'samples.fasta',
    sequences: records,
  };
  writeFileAtomic(join(options.out, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Token ids `[N, L]`; shorter sequences are filled up with the padding, or −1 where the model has none. */
function tokensOf(model: SequenceModel, made: readonly GeneratedSequence[]): Tensor {
  const length = Math.max(0, ...made.map((m) => m.tokens.length));
  const pad = (model.kind === 'masked' ? model.padId : null) ?? -1;
  const ids = made.flatMap(({ tokens }) => Array.from({ length }, (_, i) => tokens[i] ?? pad));
  return i64([made.length, length], ids);
}
