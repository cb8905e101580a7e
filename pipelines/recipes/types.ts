import type { z } from 'zod';

/** How a recipe tells of its progress and learns that it should stop; the command line's `Io` is one. */
export interface RecipeIo {
  progress(stage: string, done: number, total: number): void;
  note(text: string): void;
  readonly signal: AbortSignal;
  whenStopped(text: string): void;
}

export interface RecipeOptions<S> {
  readonly out: string;
  readonly resume: boolean;
  readonly seed: number;
  readonly threads?: number | undefined;
  readonly set: S;
}

/** How one bundled model is made from nothing. */
export interface Recipe {
  readonly name: string;
  readonly summary: string;
  readonly schema: z.ZodObject;
  train(options: RecipeOptions<Readonly<Record<string, unknown>>>, io: RecipeIo): Promise<unknown>;
}
