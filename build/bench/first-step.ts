import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createEngine } from '#pipelines/engine/engine.ts';
import { createNodeHost } from '#pipelines/engine/hosts/node-host.ts';
import { openProject } from '#pipelines/store/project.ts';
import { quantile } from './lib/measure.ts';

const ROUNDS = 7;

/** Milliseconds after `generate.start` was called, medians over rounds. */
export interface FirstStep {
  /** The process of the job runs and has loaded the code of the job. */
  readonly readyMs: number;
  /** The first denoising step of the first picture is done: opening the networks, the text and one step later. */
  readonly firstStepMs: number;
  readonly rounds: number;
}

/** How long after the key press the bundled model begins to draw. Every job starts a process of its own. */
export async function measure(options: { rounds?: number } = {}): Promise<FirstStep> {
  const directory = mkdtempSync(join(tmpdir(), 'northlight-first-'));
  const project = openProject(directory);
  const node = createNodeHost();
  let ready: (() => void) | undefined;
  let stepped: (() => void) | undefined;
  const engine = createEngine({
    project,
    kind: 'browser',
    bundledModels: resolve(import.meta.dirname, '../../models/bundled'),
    threads: Math.max(1, availableParallelism()),
    host: {
      fork: (spec) => {
        const handle = node.fork(spec);
        handle.onMessage((message) => {
          if (message.t !== 'progress') return;
          ready?.();
          if (message.done > 0) stepped?.();
        });
        return handle;
      },
    },
  });
  // Listened to from the start: a short job may end before anybody asks.
  const endings = new Map<string, () => void>();
  const endedAlready = new Set<string>();
  engine.subscribe((name, payload) => {
    if (name !== 'job' || !('state' in payload) || payload.state === 'queued' || payload.state === 'running') return;
    endedAlready.add(payload.id);
    endings.get(payload.id)?.();
  });
  const ended = (id: string) =>
    new Promise<void>((done) => {
      endings.set(id, done);
      if (endedAlready.has(id)) done();
    });
  const times: { ready: number; first: number }[] = [];
  try {
    for (let i = -1; i < (options.rounds ?? ROUNDS); i++) {
      const start = performance.now();
      const readyAt = new Promise<number>((done) => {
        ready = () => done(performance.now() - start);
      });
      const firstAt = new Promise<number>((done) => {
        stepped = () => done(performance.now() - start);
      });
      const job = await engine.call('generate.start', {
        modelId: 'model-bundled-flora',
        prompts: ['a red tulip'],
        steps: 10,
        seed: i + 1,
      });
      const time = { ready: await readyAt, first: await firstAt };
      if (i >= 0) times.push(time);
      await ended(job.id);
    }
  } finally {
    await engine.close();
    project.close();
    rmSync(directory, { recursive: true, force: true });
  }
  const median = (of: (t: { ready: number; first: number }) => number) => Math.round(quantile(times.map(of), 0.5));
  return { readyMs: median((t) => t.ready), firstStepMs: median((t) => t.first), rounds: times.length };
}
