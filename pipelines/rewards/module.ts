import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { fileError } from '#models/files.ts';
import type { Reward, RewardItem } from './types.ts';

export type SandboxItem = RewardItem;
export type ToSandbox =
  | { readonly t: 'start'; readonly memoryBytes: number }
  | { readonly t: 'load'; readonly source: string }
  | { readonly t: 'score'; readonly items: readonly SandboxItem[] };
export type FromSandbox =
  | { readonly t: 'started' }
  | { readonly t: 'ready' }
  | { readonly t: 'answer'; readonly text: string }
  | { readonly t: 'memory' | 'failed'; readonly why: string };

export interface ModuleOptions {
  /** Of loading, and of each call. */
  readonly timeoutMs?: number;
  /** Of the whole process, some 80 MB of which are its own. */
  readonly memoryBytes?: number;
}

const TIMEOUT_MS = 30_000;
/** Of starting the process, before anything of the module runs: a busy machine takes its time. */
const START_MS = 120_000;
const MEMORY_BYTES = 512 * 2 ** 20;
const BATCH = 64;

const answer = z.union([
  z.object({ scores: z.array(z.union([z.number(), z.string()])) }),
  z.object({ error: z.string() }),
]);

/**
 * A script with `export default function score(items)` that returns one number per item, run in a process of its own that can read no
 * file, start nothing, reach no network and import nothing, within limits of time and memory. Items are
 * `{ kind: 'sequence', sequence }` or `{ kind: 'image', rgb, width, height, prompt }`.
 * After a time-out or a crash it is started again for the next call.
 * @throws {NorthlightError} `reward/module`, `reward/timeout`, `reward/memory`; scoring throws these, `reward/count`,
 *   `reward/not-finite` and `reward/crashed`.
 */
export async function createModuleReward(path: string, options: ModuleOptions = {}): Promise<Reward> {
  const { timeoutMs = TIMEOUT_MS, memoryBytes = MEMORY_BYTES } = options;
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (error) {
    throw fileError(error, path, 'read');
  }
  let sandbox: Sandbox | undefined = await start(source, path, timeoutMs, memoryBytes);
  return {
    name: basename(path),
    higherIsBetter: true,
    async score(items) {
      const scores = new Float32Array(items.length);
      for (let from = 0; from < items.length; from += BATCH) {
        const batch = items.slice(from, from + BATCH);
        const where = batch.length === 1 ? `Item ${from}` : `Items ${from} to ${from + batch.length - 1}`;
        try {
          if (sandbox?.alive !== true) sandbox = await start(source, path, timeoutMs, memoryBytes);
          scores.set(
            readAnswer(await sandbox.ask({ t: 'score', items: batch }, timeoutMs), batch.length, from, path),
            from,
          );
        } catch (error) {
          if (!(error instanceof NorthlightError) || error.message.startsWith('Item ')) throw error;
          throw new NorthlightError(error.code, `${where}: ${error.message}`, error.hint, { cause: error });
        }
      }
      return scores;
    },
    async close() {
      await sandbox?.close();
      sandbox = undefined;
    },
  };
}

interface Sandbox {
  readonly alive: boolean;
  ask(message: ToSandbox, limitMs: number): Promise<FromSandbox>;
  close(): Promise<void>;
}

async function start(source: string, path: string, timeoutMs: number, memoryBytes: number): Promise<Sandbox> {
  const sandbox = launch(path, memoryBytes);
  try {
    await sandbox.ask({ t: 'start', memoryBytes }, START_MS);
    const first = await sandbox.ask({ t: 'load', source }, timeoutMs);
    if (first.t === 'ready') return sandbox;
    throw new NorthlightError(
      'reward/module',
      `The module ${path} cannot be used: ${'why' in first ? first.why : 'it did not start'}.`,
      'It needs "export default function score(items)" that returns one number per item, and no imports.',
    );
  } catch (error) {
    await sandbox.close();
    throw error;
  }
}

function launch(path: string, memoryBytes: number): Sandbox {
  const entry = fileURLToPath(new URL('./module-sandbox.ts', import.meta.url));
  const child = fork(entry, [], {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // Nothing of this process's surroundings is of use to a script.
    env: process.versions.electron === undefined ? {} : { ELECTRON_RUN_AS_NODE: '1' },
    execArgv: [
      '--permission',
      '--allow-worker',
      `--allow-fs-read=${entry}`,
      '--disallow-code-generation-from-strings',
      '--experimental-vm-modules',
      '--no-warnings',
    ],
  });
  let said = '';
  let failure: NorthlightError | undefined;
  let waiting: { resolve(message: FromSandbox): void; reject(error: NorthlightError): void } | undefined;
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const fail = (error: NorthlightError) => {
    failure ??= error;
    waiting?.reject(failure);
    waiting = undefined;
    child.kill('SIGKILL');
  };
  const outOfMemory = () =>
    new NorthlightError(
      'reward/memory',
      `The module ${path} used more than ${Math.round(memoryBytes / 2 ** 20)} MB of memory and was stopped.`,
      'Make it keep less.',
    );
  child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
    said = (said + chunk).slice(-4096);
  });
  child.on('message', (message: FromSandbox) => {
    if (message.t === 'memory') return fail(outOfMemory());
    waiting?.resolve(message);
    waiting = undefined;
  });
  child.once('error', (error) => fail(crashed(path, error.message)));
  child.once('close', (code, signal) => {
    // Where memory runs out all at once, V8 ends the process before anybody can watch.
    if (/northlight: out of memory|heap out of memory|Allocation failed/.test(said)) return fail(outOfMemory());
    fail(crashed(path, `${signal ?? `exit code ${code}`}${said === '' ? '' : `, ${said.trim().slice(-500)}`}`));
  });
  return {
    get alive() {
      return failure === undefined;
    },
    ask: (message, limitMs) =>
      new Promise((resolve, reject) => {
        if (failure) return reject(failure);
        const timer = setTimeout(
          () =>
            fail(
              new NorthlightError(
                'reward/timeout',
                `The module ${path} took longer than ${limitMs / 1000} s and was stopped.`,
                'Look for a loop without end, or make it faster.',
              ),
            ),
          limitMs,
        );
        waiting = {
          resolve: (answered) => {
            clearTimeout(timer);
            resolve(answered);
          },
          reject: (error) => {
            clearTimeout(timer);
            reject(error);
          },
        };
        child.send(message, () => {});
      }),
    async close() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}

const crashed = (path: string, how: string) =>
  new NorthlightError('reward/crashed', `The process of the module ${path} ended (${how}).`, 'Try it on fewer items.');

function readAnswer(message: FromSandbox, count: number, from: number, path: string): number[] {
  const refuse = (code: string, why: string, hint = '') =>
    new NorthlightError(code, `The module ${path} ${why}.`, hint);
  if (message.t === 'failed') throw refuse('reward/failed', `failed: ${message.why}`);
  let json: unknown;
  try {
    json = message.t === 'answer' ? JSON.parse(message.text) : undefined;
  } catch {
    json = undefined;
  }
  const parsed = answer.safeParse(json);
  if (!parsed.success) throw refuse('reward/reply', 'gave no readable answer');
  if ('error' in parsed.data) throw refuse('reward/failed', `failed: ${parsed.data.error}`);
  const { scores } = parsed.data;
  if (scores.length !== count) {
    throw refuse('reward/count', `gave ${scores.length} scores for ${count} items`, 'Return one number per item.');
  }
  return scores.map((score, i) => {
    if (typeof score === 'number' && Number.isFinite(Math.fround(score))) return score;
    throw new NorthlightError(
      'reward/not-finite',
      `Item ${from + i}: the module ${path} gave ${score}, which is no finite number.`,
      'Give every item a finite number.',
    );
  });
}
