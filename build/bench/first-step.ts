import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, getPriority, setPriority, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createEngine, type Engine } from '#pipelines/engine/engine.ts';
import { createNodeHost } from '#pipelines/engine/hosts/node-host.ts';
import type { FromCompute } from '#pipelines/engine/job-protocol.ts';
import type { ProcessHost } from '#pipelines/engine/process-host.ts';
import { openProject } from '#pipelines/store/project.ts';
import { quantile } from './lib/measure.ts';

const ROUNDS = 5;
const MODEL = 'model-bundled-flora';
const NEVER_MS = 2 ** 31 - 1;
/** Enough for a process to load code and networks. */
const READY_MS = 2500;

/** Milliseconds after `generate.start` was called, medians over rounds. */
export interface FirstStep {
  /** The process that has the job has read it. */
  readonly receivedMs: number;
  /** The network is asked for the first time: it is open, and the prompt is read. */
  readonly beginsMs: number;
  /** The first denoising step of one picture is done. */
  readonly firstStepMs: number;
}

/** How each round's process was made ready before the call. */
const CASES = {
  /** Not at all. */
  cold: async () => {},
  /** It has loaded the code and the runtime. */
  spare: () => sleep(READY_MS),
  /** It has opened the model, and has made nothing yet. */
  ahead: async (engine: Engine) => {
    await engine.call('generate.warm', { modelId: MODEL });
    await sleep(READY_MS);
  },
  /** It has just made a picture with the model. */
  warm: async (engine: Engine) => {
    await make(engine, 0);
  },
};

export type FirstSteps = Readonly<Record<keyof typeof CASES, FirstStep>>;

/** How long after the key press the bundled model begins to draw. */
export async function measure(options: { rounds?: number } = {}): Promise<FirstSteps> {
  const rounds: Record<keyof typeof CASES, FirstStep[]> = { cold: [], spare: [], ahead: [], warm: [] };
  for (let i = 0; i < (options.rounds ?? ROUNDS); i++) {
    for (const name of Object.keys(CASES) as (keyof typeof CASES)[]) rounds[name].push(await round(name, i + 1));
  }
  const medians = (list: readonly FirstStep[]): FirstStep => {
    const median = (of: keyof FirstStep) =>
      Math.round(
        quantile(
          list.map((time) => time[of]),
          0.5,
        ),
      );
    return { receivedMs: median('receivedMs'), beginsMs: median('beginsMs'), firstStepMs: median('firstStepMs') };
  };
  const { cold, spare, ahead, warm } = rounds;
  return { cold: medians(cold), spare: medians(spare), ahead: medians(ahead), warm: medians(warm) };
}

async function round(name: keyof typeof CASES, seed: number): Promise<FirstStep> {
  const directory = mkdtempSync(join(tmpdir(), 'northlight-first-'));
  const project = openProject(directory);
  const heard: { message: FromCompute; at: number }[] = [];
  const engine = createEngine({
    project,
    kind: 'browser',
    bundledModels: resolve(import.meta.dirname, '../../models/bundled'),
    threads: availableParallelism(),
    host: listening((message) => heard.push({ message, at: performance.now() })),
    times: { spareMs: name === 'spare' ? 0 : NEVER_MS },
  });
  try {
    await CASES[name](engine);
    heard.length = 0;
    const start = performance.now();
    await make(engine, seed);
    const first = (is: (progress: Extract<FromCompute, { t: 'progress' }>) => boolean) =>
      heard.find(({ message }) => message.t === 'progress' && is(message))!.at - start;
    return {
      receivedMs: first(() => true),
      beginsMs: first(({ stage }) => stage.startsWith('picture')),
      firstStepMs: first(({ done }) => done > 0),
    };
  } finally {
    await engine.close();
    project.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** One picture; resolves when it is done. */
async function make(engine: Engine, seed: number): Promise<void> {
  const done = new Promise<void>((resolve, reject) => {
    const stop = engine.subscribe((name, payload) => {
      if (name !== 'job' || !('error' in payload) || payload.state === 'queued' || payload.state === 'running') return;
      stop();
      if (payload.state === 'done') resolve();
      else reject(new Error(`The job is ${payload.state}: ${payload.error?.message}`));
    });
  });
  await engine.call('generate.start', { modelId: MODEL, prompts: ['a red tulip'], count: 1, steps: 10, seed });
  await done;
}

/** Compute processes that are heard, and that have the priority of this process: what is measured is not who waits for whom. */
function listening(hear: (message: FromCompute) => void): ProcessHost {
  const node = createNodeHost();
  return {
    fork() {
      const handle = node.fork();
      handle.onMessage(hear);
      setImmediate(() => {
        if (handle.pid !== undefined) setPriority(handle.pid, getPriority());
      });
      return handle;
    },
  };
}
