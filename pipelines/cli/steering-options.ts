import { NorthlightError } from '#models/errors.ts';
import { createSteering, DECODERS } from '#pipelines/decoding/index.ts';
import type { Steering } from '#pipelines/sampling/steering.ts';
import type { WithSettings } from './command.ts';

interface Options extends WithSettings {
  readonly decode: string;
  readonly reward: readonly string[];
  readonly alpha?: number | undefined;
  readonly candidates?: number | undefined;
}

/**
 * The decoder that `--decode`, `--alpha`, `--candidates` and `--set` ask for; null for plain sampling.
 * @throws {NorthlightError} `usage`, `decode/…`.
 */
export function steeringOf({ decode, reward, alpha, candidates, set }: Options): Steering | null {
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
  if (reward.length > 1) {
    throw new NorthlightError(
      'usage',
      'Several rewards are put on one scale by what they say of many samples, so their sum moves while samples are steered.',
      'Write them as one: --reward "expr:…", which fixes their scale.',
    );
  }
  const decoder = DECODERS.get(decode);
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
