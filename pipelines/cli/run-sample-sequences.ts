import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { hashModelFolder } from '#models/families/index.ts';
import { openSequenceModel, type SequenceModel } from '#models/families/sequence-model.ts';
import type { FoundFolder } from '#models/families/types.ts';
import { writeFileAtomic } from '#models/files.ts';
import { writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, i64, type Tensor } from '#models/tensor/tensor.ts';
import { openReward, scoreWith } from '#pipelines/rewards/open-reward.ts';
import {
  classIdOf,
  type GeneratedSequence,
  generateSequences,
  loadSequencePipeline,
  withDefaults,
} from '#pipelines/sampling/generate-sequences.ts';
import { hashAdapter } from '#pipelines/sampling/used-adapters.ts';
import { formatFasta } from '#pipelines/sequences/sequence-files.ts';
import type { CommonOptions, Io, WithSettings } from './command.ts';
import type { SampleResult, sampleOptions } from './commands/sample.ts';
import { summarise } from './reward-summary.ts';
import { parseLora } from './run-sample.ts';
import { steeringOf } from './steering-options.ts';

type Options = z.output<typeof sampleOptions> & CommonOptions & WithSettings;

/** `northlight sample` for models of sequences: FASTA, a manifest and on request tensors, into one folder. */
export async function runSampleSequences(found: FoundFolder, options: Options, io: Io): Promise<SampleResult> {
  refuseForSequences(options);
  const started = performance.now();
  const steering = steeringOf(options);
  const model = openSequenceModel(found);
  const asked = {
    scheduler: options.scheduler,
    steps: options.steps,
    eta: options.eta ?? 0,
    guidanceScale: options.guidance ?? 1,
    seed: options.seed,
    classId: classIdOf(model, options.class),
    length: options.length ?? null,
  };
  io.progress('opening the model', 0, 0);
  const session = {
    ...(options.threads ? { threads: options.threads } : {}),
    ...(options.provider !== 'auto' ? { provider: options.provider } : {}),
  };
  const adapters = options.lora.map(parseLora);
  const pipeline = await loadSequencePipeline(model, { ...session, adapters });
  const settings = withDefaults(pipeline, asked);
  if (options.steps !== undefined && settings.scheduler === 'masked-one-at-a-time') {
    io.note('masked-one-at-a-time takes one step per position; --steps is not used.');
  }
  if (options.eta !== undefined && model.kind === 'masked') {
    io.note('A masked model has no noise that --eta could scale; it is not used.');
  }
  const reward = await openReward(options.reward, session);
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
    io.whenStopped(
      `The finished sequences are kept in ${options.out}. The same command makes them again, byte for byte.`,
    );
    const made: GeneratedSequence[] = [];
    const { signal } = io;
    let failure: unknown;
    try {
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
      for await (const sequence of stream) made.push(sequence);
    } catch (error) {
      if (!signal.aborted) failure = error;
    }
    let rewards: number[] | null = null;
    try {
      if (steering) rewards = made.map((m) => m.reward!);
      else if (reward && made.length > 0) rewards = Array.from(await score(made.map((m) => m.sequence)));
    } catch (error) {
      failure ??= error;
    }
    if (failure !== undefined && made.length === 0) throw failure;
    writeResults(options, model, settings, made, rewards);
    if (failure !== undefined) throw withKept(failure, made.length, options.out);
    return {
      count: made.length,
      seconds: (performance.now() - started) / 1000,
      denoiserCalls: pipeline.calls.count,
      rewardCalls: rewardCalls.count,
      ...(rewards ? { rewards: { ...summarise(rewards), values: rewards } } : {}),
    };
  } finally {
    await reward?.close();
    await pipeline.close();
  }
}

/** The error with what was kept of the work before it. */
function withKept(error: unknown, count: number, out: string): unknown {
  if (!(error instanceof NorthlightError)) return error;
  const kept = `The ${count} finished sequences are kept in ${out}.`;
  return new NorthlightError(error.code, error.message, `${error.hint} ${kept}`.trim(), { cause: error });
}

function writeResults(
  options: Options,
  model: SequenceModel,
  settings: { readonly seed: number; readonly classId: number | null },
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
    adapters: options.lora.map(parseLora).map(({ path, weight }) => ({ weight, sha256: hashAdapter(path) })),
    settings: { ...settings, class: name ?? null },
    rewards: options.reward,
    decode: { name: options.decode, ...steeringOf(options)?.options },
    provider: options.provider === 'auto' ? 'cpu' : options.provider,
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

/** What makes sense for pictures only is refused, not ignored. */
function refuseForSequences(options: Options): void {
  const given: readonly [string, boolean][] = [
    ['--prompt', options.prompt.length > 0 || options.prompts !== undefined],
    ['--negative', options.negative !== ''],
    ['--size', options.size !== undefined],
    ['--init', options.init !== undefined],
    ['--image', options.image !== undefined],
    ['--mask', options.mask !== undefined],
    ['--strength', options.strength !== undefined],
    ['--tile', options.tile !== undefined],
    ['--keep-trajectories', options.keepTrajectories],
  ];
  const [first] = given.filter(([, isGiven]) => isGiven);
  if (first !== undefined) {
    const instead = first[0] === '--prompt' ? 'Say what to make with --class.' : 'Leave it out.';
    throw new NorthlightError('usage', `${first[0]} does not apply to models of sequences.`, instead);
  }
}
