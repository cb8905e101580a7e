import { NorthlightError, type PlainError, toPlainError } from '#models/errors.ts';

/** Hands on what a stream gives until it ends, the person stops it, or it fails: then what it threw, else undefined. */
export async function takeFinished<T>(
  stream: AsyncIterable<T>,
  signal: AbortSignal,
  take: (item: T) => void,
): Promise<unknown> {
  try {
    for await (const item of stream) take(item);
    return undefined;
  } catch (error) {
    return signal.aborted ? undefined : error;
  }
}

/** For a manifest: how many were asked for where there are fewer, and what went wrong. Empty where nothing did. */
export const whatHappened = (
  failure: unknown,
  made: number,
  asked: number,
): { readonly asked?: number; readonly error?: PlainError } => ({
  ...(made < asked ? { asked } : {}),
  ...(failure !== undefined ? { error: toPlainError(failure) } : {}),
});

/** The error with what was kept of the work before it. @param what with its number, such as `4 finished pictures`. */
export function withKept(error: unknown, what: string, out: string): unknown {
  if (!(error instanceof NorthlightError)) return error;
  const hint = `${error.hint} The ${what} are kept in ${out}, with a manifest that says what happened.`.trim();
  return new NorthlightError(error.code, error.message, hint, { cause: error });
}
