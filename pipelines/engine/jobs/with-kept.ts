import { NorthlightError } from '#models/errors.ts';

/** Runs the work of a job; what goes wrong says what was finished before. @param finished such as `3 pictures`; empty: nothing. */
export async function withKept<T>(finished: () => string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const kept = finished();
    if (!(error instanceof NorthlightError) || kept === '') throw error;
    const hint = `${error.hint} ${kept} were finished before and are kept; Resume goes on after them.`.trim();
    throw new NorthlightError(error.code, error.message, hint, { cause: error });
  }
}
