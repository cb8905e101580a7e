/** What is wrong with a number of a form, in words; undefined where nothing is. */
export const wholeProblem = (value: number | null, min: number, max: number): string | undefined =>
  value === null || !Number.isInteger(value) || value < min || value > max
    ? `A whole number, ${min} to ${max}.`
    : undefined;

export const numberProblem = (value: number | null, min: number, max: number): string | undefined =>
  value === null || !(value >= min && value <= max) ? `A number, ${min} to ${max}.` : undefined;

/** Only what is wrong, by field. */
export const onlyProblems = <K extends string>(all: Readonly<Partial<Record<K, string | undefined>>>) =>
  Object.fromEntries(Object.entries(all).filter(([, problem]) => problem !== undefined)) as Partial<Record<K, string>>;

/** The largest seed. */
export const MAX_SEED = 2 ** 31 - 1;
