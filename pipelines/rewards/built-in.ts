import type { z } from 'zod';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { ImageItem } from './types.ts';

/** A reward of pictures that ships with the program. Its options are the keys of `name:key=value,…`. */
export interface BuiltInReward<S extends z.ZodObject = z.ZodObject> {
  readonly kind: 'image';
  readonly name: string;
  /** What it measures, its unit, and its source. */
  readonly description: string;
  readonly options: S;
  /** The option that may be given without its key, as in `palette-distance:#204080+#f0e0c0`. */
  readonly positional?: keyof z.input<S> & string;
  /** False for a measure of something unwanted; absent is true. */
  readonly higherIsBetter?: boolean;
  score(picture: ImageItem, options: z.output<S>): number | Promise<number>;
  /** The same of `[1, 3, H, W]` in 0…1 as an expression, where it has a gradient. */
  readonly graph?: (op: GraphBuilder, rgb: Value) => Value;
}

/** Keeps the type of the options between the schema and the score. */
export function defineReward<S extends z.ZodObject>(reward: Omit<BuiltInReward<S>, 'kind'>): BuiltInReward {
  return { kind: 'image', ...reward } as unknown as BuiltInReward;
}
