import { NorthlightError } from '#models/errors.ts';
import { createSteering, DECODERS } from '#pipelines/decoding/index.ts';
import type { Steering } from '#pipelines/sampling/steering.ts';
import type { WithSettings } from './command.ts';

/** Options that say how rewards steer. */
export interface SteeringOptions extends WithSettings {
  readonly decode: string;
  readonly reward: readonly string[];
  readonly alpha?: number | undefined;
  readonly candidates?: number | undefined;
}

/**
 * The decoder that `--decode`, `--alpha`, `--candidates` and `--set` ask for; null for plain sampling.
 * @throws {NorthlightError} `usage`, `decode/…`.
 */
export function steeringOf({ decode, reward, alpha, candidates, set }: SteeringOptions): Steering | null {
  if (decode === 'plain') {
    if (alpha === undefined && candidates === undefined) return null;
    throw new NorthlightError(
      'usage',
      `--${alpha === undefined ? 'candidates' : 'alpha'} is for steered sampling.`,
      `Add --decode ${[...DECODERS.keys()].join('|')}.`,
    );
  }
  if (reward.length === 0) {
    throw new NorthlightError('usage', `--decode ${decode} needs something to follow.`, 'Add --reward SPEC.');
  }
  const decoder = DECODERS.get(decode);
  if (reward.length > 1 && decoder?.needsGradient) {
    throw new NorthlightError(
      'usage',
      `--decode ${decode} follows the gradient of one reward, not of several.`,
      'Name one --reward, or choose another way to steer.',
    );
  }
  const keys = Object.keys(decoder?.options.shape ?? {});
  if (decoder && alpha !== undefined && !keys.includes('alpha')) {
    throw new NorthlightError('usage', `--decode ${decode} has no temperature.`, 'Leave --alpha out.');
  }
  return createSteering(decode, {
    ...set,
    ...(alpha === undefined ? {} : { alpha }),
    ...(candidates === undefined || !decoder ? {} : { [decoder.countKey]: candidates }),
  });
}
