import { Worker } from 'node:worker_threads';
import { NorthlightError, type PlainError } from '#models/errors.ts';
import type { TokenCount } from './contract.ts';

export interface TokenQuestion {
  readonly id: number;
  readonly folder: string;
  readonly prompts: readonly string[];
}

export interface TokenAnswer {
  readonly id: number;
  /** One of the two. */
  readonly counts?: (TokenCount | null)[];
  readonly error?: PlainError;
}

interface Waiting {
  resolve(counts: (TokenCount | null)[]): void;
  reject(error: Error): void;
}

let worker: Worker | undefined;
let asked = 0;
const waiting = new Map<number, Waiting>();

/**
 * {@link tokenCounts}, in a thread of its own: patterns of a strange tokenizer may take seconds, and the engine has others to
 * answer.
 * @throws {NorthlightError} `model/…`, `tokenizer/…`
 */
export function askTokenCounts(folder: string, prompts: readonly string[]): Promise<(TokenCount | null)[]> {
  worker ??= launch();
  // Only what is waited for keeps the process alive.
  worker.ref();
  const question: TokenQuestion = { id: ++asked, folder, prompts };
  return new Promise((resolve, reject) => {
    waiting.set(question.id, { resolve, reject });
    worker!.postMessage(question);
  });
}

function launch(): Worker {
  const started = new Worker(new URL('./token-worker.ts', import.meta.url));
  started.on('message', ({ id, counts, error }: TokenAnswer) => {
    const asker = waiting.get(id);
    waiting.delete(id);
    if (waiting.size === 0) started.unref();
    if (counts) asker?.resolve(counts);
    else asker?.reject(new NorthlightError(error!.code, error!.message, error!.hint));
  });
  started.on('error', (error) => {
    worker = undefined;
    for (const asker of waiting.values()) asker.reject(error);
    waiting.clear();
  });
  return started;
}
