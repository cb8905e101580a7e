import { createContext, Script } from 'node:vm';

const context = createContext({ work: () => {} });
const call = new Script('work()');

/**
 * What `work` returns, unless it takes longer: it is then ended where it is, also inside a regular expression, and `tooLong` is
 * thrown. It must not wait for anything, and nothing it was changing may be used afterwards.
 */
export function withTimeLimit<T>(limitMs: number, work: () => T, tooLong: () => Error): T {
  let result: { readonly value: T } | undefined;
  context.work = () => {
    result = { value: work() };
  };
  try {
    call.runInContext(context, { timeout: limitMs });
  } catch (error) {
    throw isTimeout(error) ? tooLong() : error;
  } finally {
    context.work = undefined;
  }
  return result!.value;
}

// The error is of the other context, so it is no `Error` of ours.
const isTimeout = (error: unknown): boolean =>
  typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
