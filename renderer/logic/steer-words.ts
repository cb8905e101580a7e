import type { GenerateEstimate } from '#pipelines/engine/contract.ts';
import { formatCount, plural } from './format.ts';

/** What steering costs, before it starts. */
export function costWords({ plainCalls, steered }: GenerateEstimate, noun = 'picture', rewards = 1): string {
  if (!steered) return 'How much work this is depends on what is found.';
  const times = steered.denoiserCalls / plainCalls;
  const rounded = times < 10 ? Math.round(times * 10) / 10 : Math.round(times);
  return (
    `About ${rounded}× the work: ${formatCount(steered.denoiserCalls)} runs of the network in place of ` +
    `${formatCount(plainCalls)}, and ${rewards > 1 ? 'each reward' : 'the reward'} looks at ${plural(steered.rewardCalls, noun)}.`
  );
}
