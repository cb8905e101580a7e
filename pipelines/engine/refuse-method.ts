import { NorthlightError } from '#models/errors.ts';
import { needsCalibration } from '#pipelines/bank/target.ts';
import type { SteeringInput } from './contract.ts';
import { rewardLabel } from './reward-label.ts';

/**
 * Refuses, before a job waits for its turn, what a method cannot follow.
 * @throws {NorthlightError} `generate/steering`, `decode/…`.
 */
export async function refuseMethod(
  { decoder, rewards, cap, options }: SteeringInput,
  hasGradient: (reward: string) => boolean | Promise<boolean>,
): Promise<void> {
  const refuse = (message: string, hint: string) => new NorthlightError('generate/steering', message, hint);
  const names = rewards.map(({ reward }) => reward);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw refuse(`The reward "${rewardLabel(twice)}" is there twice.`, 'Give it more weight.');
  if (rewards.some(({ weight }) => weight === 0)) throw refuse('A weight is 0.', 'Give it another, or leave it out.');
  const { createSteering } = await import('#pipelines/decoding/index.ts');
  if (!createSteering(decoder, options).needsGradient) return;
  const instead = 'Choose the method svdd-pm.';
  if (needsCalibration(rewards, cap))
    throw refuse('A gradient is followed of one reward alone, without a cap.', instead);
  if (await hasGradient(names[0]!)) return;
  throw refuse(`The reward "${rewardLabel(names[0]!)}" has no gradient to be led along.`, instead);
}
