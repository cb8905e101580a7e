import { calibrateRewards } from '#pipelines/bank/calibrate.ts';
import { readColumn } from '#pipelines/bank/columns.ts';
import type { BankSource } from '#pipelines/bank/source.ts';
import { CALIBRATION_SAMPLES, needsCalibration, targetValues } from '#pipelines/bank/target.ts';
import { createSteering } from '#pipelines/decoding/index.ts';
import type { JobContext } from '#pipelines/engine/job-protocol.ts';
import { keepPlain } from '#pipelines/engine/plain-values.ts';
import { followedLabel, rewardLabel } from '#pipelines/engine/reward-label.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { scoreWith } from '#pipelines/rewards/open-reward.ts';
import { formatRewardSpec } from '#pipelines/rewards/spec.ts';
import type { Reward, RewardItem } from '#pipelines/rewards/types.ts';
import type { Steering } from '#pipelines/sampling/steering.ts';
import { stopIfAsked } from './control.ts';
import type { SampleScore, SteeringPayload } from './steering-payload.ts';

/** A decoder and what it follows, opened by a job. */
export interface SteerBy {
  readonly steering: Steering;
  /** What is followed, as a person would call it. */
  readonly label: string;
  /** The same as it was asked for. */
  readonly reward: string;
  readonly graph: Reward['graph'];
  /** Finite numbers, higher is better. */
  score(items: readonly RewardItem[]): Promise<Float64Array>;
  /** What each reward says of a finished sample, and of several also what they come to together. Without those that fail. */
  scoresOf(item: RewardItem, worth: number): Promise<SampleScore[]>;
  close(): Promise<void>;
}

/**
 * Opens the rewards of a job. Several, or one with a cap, are first put on one scale by plain samples of `source`, kept in the project
 * and made here where they are missing.
 * @throws {NorthlightError} `bank/flat-reward`, `reward/…`, `decode/…`.
 */
export async function openSteerBy(
  { decoder, rewards, combine, cap, options }: SteeringPayload,
  source: () => Promise<BankSource>,
  context: JobContext,
): Promise<SteerBy> {
  const host = context.threads ? { threads: context.threads } : {};
  const label = followedLabel({ rewards, combine });
  const specs = rewards.map(({ reward, weight }) => formatRewardSpec({ spec: reward, weight }));
  if (!needsCalibration(rewards, cap)) {
    const [{ reward: name, weight }] = rewards as [SteeringPayload['rewards'][number]];
    const reward = await createReward(name, host);
    return {
      steering: createSteering(decoder, options),
      ...{ label, reward: name, graph: weight === 1 ? reward.graph : undefined, close: () => reward.close() },
      score: async (items) => (await scoreWith(reward, items)).map((value) => value * weight),
      async scoresOf(_item, worth) {
        return [{ reward: name, value: (worth / weight) * (reward.higherIsBetter ? 1 : -1) }];
      },
    };
  }
  const { reward, parts, alpha, bank } = await calibrateRewards(
    await source(),
    { ...host, rewards: specs, combine, cap: cap ?? undefined, project: context.project },
    {
      onProgress: (done) =>
        context.progress(
          `plain sample ${Math.min(Math.floor(done) + 1, CALIBRATION_SAMPLES)} of ${CALIBRATION_SAMPLES}, to put the rewards on one scale`,
          Math.min(done, CALIBRATION_SAMPLES),
          CALIBRATION_SAMPLES,
        ),
      checkpoint: () => stopIfAsked(context),
    },
  );
  const plain = rewards.flatMap(({ reward: name, weight }) => {
    const column = readColumn(bank, name);
    return column ? [{ weight, column: { ...column, values: column.values.slice(0, CALIBRATION_SAMPLES) } }] : [];
  });
  keepPlain(context.project, context.jobId, [
    ...plain.map(({ column }, k) => ({ reward: rewardLabel(rewards[k]!.reward), values: column.values })),
    ...(rewards.length > 1 ? [{ reward: label, values: [...targetValues(plain, { combine, cap })] }] : []),
  ]);
  const fits = options.alpha === undefined && alpha !== null;
  const unsaid = createSteering(decoder, options);
  return {
    // A default is in units that nobody chose; one that a person set stays.
    steering: fits && unsaid.options.alpha !== undefined ? createSteering(decoder, { ...options, alpha }) : unsaid,
    ...{ label, reward: specs.join(' '), graph: undefined, close: () => reward.close() },
    score: (items) => scoreWith(reward, items),
    async scoresOf(item, worth) {
      const own: SampleScore[] = [];
      for (const [k, part] of parts.entries()) {
        try {
          own.push({ reward: rewards[k]!.reward, value: (await part.score([item]))[0]! });
        } catch {
          // The sample is finished and kept; the next one will tell what is wrong.
        }
      }
      return rewards.length > 1 ? [...own, { reward: label, value: worth }] : own;
    },
  };
}
