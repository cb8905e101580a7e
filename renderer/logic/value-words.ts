import type { ValueNetworkView, ValueView } from '#pipelines/engine/contract.ts';

const grouped = (n: number) => n.toLocaleString('en');

/** What training takes, told before it starts. */
export function costWords({ samples, updates, denoiserCalls, rewardCalls }: ValueView['cost'], makes: string): string {
  return (
    `Makes ${grouped(samples)} ${makes} to learn from (up to ${grouped(denoiserCalls)} runs of the model, and about ${grouped(rewardCalls)} looks by ` +
    `the reward), then ${grouped(updates)} updates of a small network. It is kept in the project; a stop loses nothing that was made.`
  );
}

/** One line of a list of networks. */
export const networkWords = ({ samples, choice }: ValueNetworkView, place: number): string =>
  `${place === 0 ? 'The latest' : `${place} before`}: ${samples} samples${choice ? `, ${percent(choice.at(-1)!)} late` : ''}`;

/** How well it tells candidates apart. */
export function choiceWords({ choice, correlation, guessCorrelation }: ValueNetworkView): string {
  if (choice === null || correlation === null)
    return 'It was not tried on samples that it had not seen: there were too few.';
  const of = guessCorrelation ? ` (${list(guessCorrelation)} by the model’s own guesses)` : '';
  return (
    `On samples that it had not seen, early, midway and late: choosing by it gains ${choice.map(percent).join(', ')} of what asking about every ` +
    `candidate would; it agrees with the final rewards by ${list(correlation)}${of}.`
  );
}

const percent = (share: number) => `${Math.round(100 * share)} %`;
const list = (numbers: readonly number[]) => numbers.map((n) => n.toFixed(2)).join(', ');
