import type { z } from 'zod';
import type { ImageItem } from './types.ts';

/** A reward of pictures that ships with the program. Its options are the keys of `name:key=value,…`. */
export interface BuiltInReward<S extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  /** What it measures, its unit, and its source. */
  readonly description: string;
  readonly options: S;
  score(picture: ImageItem, options: z.output<S>): number | Promise<number>;
}

/** Keeps the type of the options between the schema and the score. */
export function defineReward<S extends z.ZodObject>(reward: BuiltInReward<S>): BuiltInReward {
  return reward as unknown as BuiltInReward;
}
