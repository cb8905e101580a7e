import type { Bank } from './bank.ts';

/** Values of the first samples of a bank, by what they show. */
export function groupsOf({ items }: Bank, values: ArrayLike<number>): Float64Array[] {
  const groups = new Map<string, number[]>();
  for (const [i, value] of Array.from(values).entries()) {
    const { prompt } = items[i]!;
    groups.set(prompt, [...(groups.get(prompt) ?? []), value]);
  }
  return [...groups.values()].map((group) => Float64Array.from(group));
}
