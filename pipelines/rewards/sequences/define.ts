import type { z } from 'zod';

/** A reward of sequences that ships with the program. Its options are the keys of `name:key=value,…`. */
export interface SequenceReward<S extends z.ZodObject = z.ZodObject> {
  readonly kind: 'sequence';
  readonly name: string;
  /** What it measures, its unit, and its source. */
  readonly description: string;
  readonly options: S;
  /** The option that may be given without its key, as in `motif:TATAAA`. */
  readonly positional?: keyof z.input<S> & string;
  /** False for a measure of something unwanted; absent is true. */
  readonly higherIsBetter?: boolean;
  /**
   * Reads the options once (files, tables) and gives the measure of a sequence of at least one letter.
   * The measure throws `reward/letter` and `reward/length`, without naming the item.
   */
  open(options: z.output<S>): (sequence: string) => number;
}

/** Keeps the type of the options between the schema and the measure. */
export function defineSequenceReward<S extends z.ZodObject>(reward: Omit<SequenceReward<S>, 'kind'>): SequenceReward {
  return { kind: 'sequence', ...reward } as unknown as SequenceReward;
}
