import type { At, Chain } from './chain.ts';

/** Asks about the states whose answer is not known from the step before, all in one batch. */
export async function askMissing<S, E>(
  chain: Chain<S, E>,
  step: number,
  at: readonly At<S>[],
  known: readonly (E | undefined)[],
): Promise<E[]> {
  const missing = at.filter((_, i) => known[i] === undefined);
  const answers = missing.length === 0 ? [] : await chain.evaluate(step, missing);
  let next = 0;
  return known.map((k) => (k === undefined ? answers[next++]! : k));
}

/** The answer about a state that a step left as it was, where it is still true; else unknown. */
export function stillTrue<S, E>(chain: Chain<S, E>, before: S, after: S, said: E): E | undefined {
  if (!chain.timeless) return undefined;
  const key = chain.key(after);
  return key !== null && key === chain.key(before) ? said : undefined;
}
