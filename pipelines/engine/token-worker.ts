import { parentPort } from 'node:worker_threads';
import { toPlainError } from '#models/errors.ts';
import type { TokenAnswer, TokenQuestion } from './token-counter.ts';
import { tokenCounts } from './token-counts.ts';

// Runs in a thread of its own: see token-counter.ts.
parentPort!.on('message', ({ id, folder, prompts }: TokenQuestion) => {
  const answer = (rest: Omit<TokenAnswer, 'id'>) => parentPort!.postMessage({ id, ...rest } satisfies TokenAnswer);
  try {
    answer({ counts: tokenCounts(folder, prompts) });
  } catch (error) {
    answer({ error: toPlainError(error) });
  }
});
