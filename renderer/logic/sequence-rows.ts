import type { Sequence } from '#pipelines/engine/contract.ts';

/** By what rows of sequences are ordered: their place in the job, their length, or a reward. */
export interface RowOrder {
  readonly by: string;
  readonly down: boolean;
}

/** Columns that are no reward. */
export const OWN_COLUMNS = ['index', 'length'] as const;

/** Rewards that said something of any of the samples, by name. */
export function rewardColumns(rows: readonly { readonly scores: Readonly<Record<string, number>> }[]): string[] {
  const found = new Set<string>();
  for (const { scores } of rows) for (const reward in scores) found.add(reward);
  return [...found].sort();
}

/** Rows without the value come last, whichever way; equal ones stay in the order in which they were made. */
export function orderedRows(rows: readonly Sequence[], { by, down }: RowOrder): Sequence[] {
  const keyOf = (s: Sequence): number =>
    by === 'index' ? s.seq : by === 'length' ? s.letters.length : (s.scores[by] ?? Number.NaN);
  return byValue(
    [...rows].sort((a, b) => a.seq - b.seq),
    keyOf,
    down ? -1 : 1,
  );
}

/** The best first; those without a value come last, in their order. */
export const bestFirst = <T>(items: readonly T[], worth: (item: T) => number | undefined): T[] =>
  byValue(items, (item) => worth(item) ?? Number.NaN, -1);

function byValue<T>(items: readonly T[], worth: (item: T) => number, sign: 1 | -1): T[] {
  return items
    .map((item) => ({ item, value: worth(item) }))
    .sort((a, b) => {
      const missing = Number(Number.isNaN(a.value)) - Number(Number.isNaN(b.value));
      return missing || (a.value === b.value ? 0 : sign * (a.value - b.value) || 0);
    })
    .map(({ item }) => item);
}

const IUPAC: Readonly<Record<string, string>> = {
  ...{ R: 'AG', Y: 'CT', S: 'CG', W: 'AT', K: 'GT', M: 'AC' },
  ...{ B: 'CGT', D: 'AGT', H: 'ACT', V: 'ACG', N: 'ACGT' },
};

/**
 * Rows that a search finds. Its words must all hold: `gc>0.5` compares a reward (or `length`), anything else is letters that the
 * sequence has, in IUPAC code where the sequence is DNA.
 */
export function filteredRows(rows: readonly Sequence[], search: string, isDna: boolean): readonly Sequence[] {
  const tests = search.split(/\s+/).flatMap((word) => (word === '' ? [] : [testOf(word, isDna)]));
  return tests.length === 0 ? rows : rows.filter((row) => tests.every((test) => test(row)));
}

function testOf(word: string, isDna: boolean): (row: Sequence) => boolean {
  const compared = /^(.+?)(>=|<=|>|<)(-?\d+(?:\.\d+)?)$/.exec(word);
  if (compared) {
    const [, name, sign, number] = compared as unknown as [string, string, string, string];
    const bound = Number(number);
    return ({ scores, letters }) => {
      const value = name === 'length' ? letters.length : scores[name];
      if (value === undefined) return false;
      return sign === '>'
        ? value > bound
        : sign === '<'
          ? value < bound
          : sign === '>='
            ? value >= bound
            : value <= bound;
    };
  }
  const pattern = [...word.toUpperCase()]
    .map((letter) => (isDna && IUPAC[letter] ? `[${IUPAC[letter]}]` : letter.replace(/[^A-Z]/g, '\\$&')))
    .join('');
  const finder = new RegExp(pattern);
  return ({ letters }) => finder.test(letters);
}
