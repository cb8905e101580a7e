import { writeSync } from 'node:fs';
import { type Context, constants, createContext, runInContext, SourceTextModule } from 'node:vm';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import type { FromSandbox, SandboxItem, ToSandbox } from './module.ts';

/**
 * The process that a scoring module runs in; `module.ts` starts it without rights to files, processes and addons, and without
 * code from strings. The module sees the language alone: it is evaluated in a context of its own, in a worker, and only strings,
 * numbers and byte arrays of that context go in and out. This thread stays free to watch the memory of the process.
 */

export const OUT_OF_MEMORY = 'northlight: out of memory';
const WATCH_EVERY_MS = 20;

const tell = (message: FromSandbox) => process.send!(message);

function watch(limitBytes: number): void {
  setInterval(() => {
    if (process.memoryUsage.rss() < limitBytes) return;
    // The worker may be in the middle of filling memory: nothing that waits for it would do.
    writeSync(2, `${OUT_OF_MEMORY}\n`);
    process.kill(process.pid, 'SIGKILL');
  }, WATCH_EVERY_MS);
}

function runMainThread(): void {
  let worker: Worker | undefined;
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  process.on('message', (message: ToSandbox) => {
    if (message.t !== 'start') return worker?.postMessage(message);
    watch(message.memoryBytes);
    // This file itself, wherever a bundle has put it.
    worker = new Worker(process.argv[1]!, {
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(message.memoryBytes / 2 ** 20), stackSizeMb: 4 },
    });
    worker.on('message', tell);
    worker.on('error', (error: NodeJS.ErrnoException) =>
      tell({ t: error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'failed', why: error.message }),
    );
  });
}

/** Runs inside the context. Everything it returns is a string, everything it is given a string, a number or its own array. */
const BRIDGE = `(function () {
  'use strict';
  // Kept from before the module can change them.
  const { stringify } = JSON;
  const text = String;
  const shown = (error) => {
    try {
      return text((error && error.stack) || error).slice(0, 2000);
    } catch {
      return 'an error that cannot be shown';
    }
  };
  return {
    bytes: (length) => new Uint8Array(length),
    sequence: (sequence) => ({ kind: 'sequence', sequence }),
    image: (rgb, width, height, prompt) => ({ kind: 'image', rgb, width, height, prompt }),
    show: (error) => shown(error),
    list: () => [],
    add: (list, item) => { list[list.length] = item; },
    call: (score, items) => {
      try {
        const result = score(items);
        if (result && typeof result.then === 'function') return stringify({ error: 'score returned a promise, not numbers' });
        if (!result || typeof result.length !== 'number') return stringify({ error: 'score returned no list of numbers' });
        const numbers = [];
        for (let i = 0; i < result.length; i++) numbers[i] = typeof result[i] === 'number' ? result[i] : NaN;
        return stringify({ scores: numbers.map((n) => (n - n === 0 ? n : text(n))) });
      } catch (error) {
        return stringify({ error: shown(error) });
      }
    },
  };
})()`;

interface Bridge {
  bytes(length: number): Uint8Array;
  sequence(sequence: string): unknown;
  image(rgb: Uint8Array, width: number, height: number, prompt: string): unknown;
  list(): unknown;
  add(list: unknown, item: unknown): void;
  call(score: unknown, items: unknown): unknown;
  show(error: unknown): string;
}

function runWorker(): void {
  // What an escape from the context would look for first.
  for (const name of [
    'process',
    'fetch',
    'WebSocket',
    'EventSource',
    'BroadcastChannel',
    'MessageChannel',
    'navigator',
  ]) {
    delete (globalThis as Record<string, unknown>)[name];
  }
  const port = parentPort!;
  const context = createContext(constants.DONT_CONTEXTIFY, { codeGeneration: { strings: false, wasm: false } });
  const bridge = runInContext(BRIDGE, context) as Bridge;
  const tellParent = (message: FromSandbox) => port.postMessage(message);
  let score: unknown;
  port.on('message', (message: ToSandbox) => {
    if (message.t === 'score') tellParent({ t: 'answer', text: answer(bridge, score, message.items) });
    if (message.t !== 'load') return;
    load(message.source, context).then(
      (loaded) => {
        score = loaded;
        tellParent({ t: 'ready' });
      },
      // What the module throws may be anything of its context: it is made a string with care.
      (error: unknown) => tellParent({ t: 'failed', why: bridge.show(error) }),
    );
  });
  tellParent({ t: 'started' });
}

async function load(source: string, context: Context): Promise<unknown> {
  const module = new SourceTextModule(source, { context, identifier: 'reward' });
  await module.link((specifier) => {
    throw new Error(`it imports "${specifier}"; a scoring module stands alone`);
  });
  await module.evaluate();
  const score = (module.namespace as { default?: unknown }).default;
  if (typeof score !== 'function') throw new Error('it has no "export default function score(items)"');
  return score;
}

const setBytes = Uint8Array.prototype.set;

function answer(bridge: Bridge, score: unknown, items: readonly SandboxItem[]): string {
  const list = bridge.list();
  for (const item of items) {
    if (item.kind === 'sequence') bridge.add(list, bridge.sequence(item.sequence));
    else {
      const rgb = bridge.bytes(item.rgb.length);
      setBytes.call(rgb, item.rgb);
      bridge.add(list, bridge.image(rgb, item.width, item.height, item.prompt));
    }
  }
  const text = bridge.call(score, list);
  return typeof text === 'string' ? text : '';
}

if (isMainThread) runMainThread();
else runWorker();
