import { NorthlightError } from '#models/errors.ts';
import type { Reward, RewardItem } from './types.ts';

/** After this many items that ran into the time limit, the rest is not tried. */
const MOST_TIMEOUTS = 3;

export interface ItemFailure {
  readonly index: number;
  readonly error: NorthlightError;
}

export interface GuardedReward extends Reward {
  /** Scores what can be scored: failed items have NaN and their error. Never throws. */
  scoreEach(items: readonly RewardItem[]): Promise<{ scores: Float32Array; failures: ItemFailure[] }>;
}

/**
 * A reward whose answer is checked: whatever goes wrong becomes a named error, and one that hangs is given up. A reward that runs in
 * this process and never lets go of the thread cannot be interrupted; run such code as `module:` or `command:`.
 * Scoring throws `reward/timeout`, `reward/count`, `reward/not-finite`, `reward/failed` and what the reward throws by name.
 */
export function guarded(reward: Reward, { timeoutMs }: { readonly timeoutMs?: number } = {}): GuardedReward {
  const refuse = (code: string, why: string, cause?: unknown) =>
    new NorthlightError(code, `The reward "${reward.name}" ${why}.`, 'Nothing that was scored before is lost.', {
      cause,
    });

  const attempt = async (items: readonly RewardItem[]): Promise<Float32Array> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      if (timeoutMs === undefined) return;
      const give = () =>
        reject(refuse('reward/timeout', `took longer than ${timeoutMs / 1000} s for ${items.length} items`));
      timer = setTimeout(give, timeoutMs);
    });
    let scores: Float32Array;
    try {
      scores = await Promise.race([reward.score(items), late]);
    } catch (error) {
      if (error instanceof NorthlightError) throw error;
      throw refuse('reward/failed', `failed: ${error instanceof Error ? error.message : String(error)}`, error);
    } finally {
      clearTimeout(timer);
    }
    if (!(scores instanceof Float32Array) || scores.length !== items.length) {
      throw refuse('reward/count', `gave ${scores?.length ?? 'no'} scores for ${items.length} items`);
    }
    const odd = scores.findIndex((score) => !Number.isFinite(score));
    if (odd >= 0) throw refuse('reward/not-finite', `gave ${scores[odd]} for item ${odd}`);
    return scores;
  };

  return {
    name: reward.name,
    higherIsBetter: reward.higherIsBetter,
    ...(reward.kinds === undefined ? {} : { kinds: reward.kinds }),
    ...(reward.graph === undefined ? {} : { graph: (item) => reward.graph!(item) }),
    score: attempt,
    async scoreEach(items) {
      try {
        return { scores: await attempt(items), failures: [] };
      } catch (error) {
        if (items.length === 1)
          return { scores: Float32Array.of(Number.NaN), failures: [{ index: 0, error: error as NorthlightError }] };
      }
      const scores = new Float32Array(items.length).fill(Number.NaN);
      const failures: ItemFailure[] = [];
      let timeouts = 0;
      for (const [index, item] of items.entries()) {
        try {
          if (timeouts >= MOST_TIMEOUTS)
            throw refuse('reward/timeout', `ran into its time limit ${timeouts} times: the rest was not tried`);
          scores[index] = (await attempt([item]))[0]!;
        } catch (error) {
          const named = error as NorthlightError;
          if (named.code === 'reward/timeout') timeouts++;
          failures.push({ index, error: renumbered(named, index) });
        }
      }
      return { scores, failures };
    },
    close: () => reward.close(),
  };
}

/** The error of an item that was scored alone, with its place among all. */
function renumbered(error: NorthlightError, index: number): NorthlightError {
  const message = error.message.replace(/^Item 0:/, `Item ${index}:`);
  return message === error.message ? error : new NorthlightError(error.code, message, error.hint, { cause: error });
}
