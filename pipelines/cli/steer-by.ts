import { banksFolder, readBank } from '#pipelines/bank/bank.ts';
import { calibrateRewards } from '#pipelines/bank/calibrate.ts';
import type { BankSource } from '#pipelines/bank/source.ts';
import { CALIBRATION_SAMPLES, needsCalibration } from '#pipelines/bank/target.ts';
import { DECODERS } from '#pipelines/decoding/index.ts';
import type { Combination } from '#pipelines/rewards/combine.ts';
import type { RewardHost } from '#pipelines/rewards/index.ts';
import { openReward } from '#pipelines/rewards/open-reward.ts';
import type { Reward } from '#pipelines/rewards/types.ts';
import type { Steering } from '#pipelines/sampling/steering.ts';
import type { CommonOptions, Io } from './command.ts';
import { type SteeringOptions, steeringOf } from './steering-options.ts';

interface Options extends SteeringOptions, CommonOptions {
  readonly combine: Combination;
  readonly cap?: number | undefined;
  readonly bankSamples?: number | undefined;
  readonly out: string;
}

/** What samples are judged by, and steered by where `steering` is not null. */
export interface SteerBy {
  /** Null where there is none. Close it. */
  readonly reward: Reward | null;
  readonly steering: Steering | null;
  /** The plain samples that several rewards were compared on. */
  readonly bank: { readonly key: string; readonly samples: number } | null;
}

/**
 * Opens the rewards of `--reward`. Several that samples are steered by are first put on one scale by what they say of plain samples,
 * kept in the project (or in the folder that is written into), so that the target stays the same while samples are made.
 * @throws {NorthlightError} `bank/flat-reward`, `usage`, and what rewards and decoders throw.
 */
export async function openSteerBy(
  options: Options,
  host: RewardHost,
  source: () => Promise<BankSource>,
  io: Io,
): Promise<SteerBy> {
  const { reward: rewards, combine, cap } = options;
  const steering = steeringOf(options);
  if (steering === null || !needsCalibration(rewards, cap)) {
    return { reward: await openReward(rewards, { ...host, combine }), steering, bank: null };
  }
  const project = options.project ?? options.out;
  const samples = options.bankSamples ?? CALIBRATION_SAMPLES;
  const own = await source();
  const missing = samples - readBank(project, own.identity).items.length;
  if (missing > 0) {
    io.note(
      `${rewards.length > 1 ? 'Several rewards are put on one scale' : 'The cap is found'} by what they say of ${samples} plain ` +
        `samples. ${missing === samples ? 'They' : `${missing} of them`} are made first, once: they are kept in ${banksFolder(project)}.`,
    );
  }
  io.whenStopped(
    `The plain samples made so far are kept in ${banksFolder(project)}. The same command goes on from them.`,
  );
  const calibrated = await calibrateRewards(
    own,
    { ...host, rewards, combine, cap, samples, project },
    {
      onProgress: (done) => io.progress('plain samples to compare the rewards on', done, samples),
      checkpoint: () => io.signal.throwIfAborted(),
      onNote: (message) => io.note(message),
    },
  );
  const { reward, alpha, bank } = calibrated;
  // A default is in units that nobody chose; one that a person wrote stays.
  const unsaid = options.alpha === undefined && steering.options.alpha === defaultAlphaOf(steering.name);
  const fits = unsaid && steering.options.alpha !== undefined && alpha !== null;
  if (fits) io.note(`--alpha ${alpha} fits what plain samples differ by.`);
  return {
    reward,
    steering: fits ? steeringOf({ ...options, alpha }) : steering,
    bank: { key: bank.key, samples },
  };
}

/** Of a decoder; undefined where it has none. */
const defaultAlphaOf = (name: string): unknown => DECODERS.get(name)?.options.safeParse({}).data?.alpha;
