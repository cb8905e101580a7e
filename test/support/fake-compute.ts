import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NorthlightError } from '#models/errors.ts';
import { writeFileAtomic } from '#models/files.ts';
import type { FromCompute, JobContext, JobFunction, JobSpec, ToCompute } from '#pipelines/engine/job-protocol.ts';
import { bankPayload } from '#pipelines/engine/jobs/bank-payload.ts';
import {
  comparePayload,
  dryStepPayload,
  estimatePayload,
  generatePayload,
  reproducePayload,
  tunePayload,
  verifyPayload,
} from '#pipelines/engine/jobs/payloads.ts';
import { score } from '#pipelines/engine/jobs/score.ts';
import { valuesPayload } from '#pipelines/engine/jobs/values-payload.ts';
import { modelKey, type WantedModel, wantModel } from '#pipelines/engine/jobs/wanted-model.ts';
import { runCompute } from '#pipelines/engine/run-compute.ts';
import { openMetricsLog } from '#pipelines/runs/metrics-log.ts';

/**
 * A compute process with no networks: real process, real files, real protocol. A "picture" is a file whose bytes depend on
 * (model, adapter, prompt, seed, index). Words in a prompt make it misbehave: `slow`, `wait@3` (before picture 3, until told
 * something), `hang`, `crash`, `crash-once`, `abort`, `fail`, `babble`.
 */

interface Picture {
  readonly prompt: string;
  readonly index: number;
  readonly adapter: string | null;
  readonly side: 'A' | 'B' | null;
}

async function makePictures(
  context: JobContext,
  pictures: readonly Picture[],
  payload: { seed: number; modelPath: string; keepTrajectories?: boolean },
): Promise<{ pictures: number }> {
  for (const [position, picture] of pictures.entries()) {
    if (['pause', 'cancel'].includes(context.control.request)) return { pictures: position };
    await misbehave(picture.prompt, context, position);
    const { prompt, index, side } = picture;
    const text = JSON.stringify([payload.modelPath, picture.adapter, prompt, payload.seed, index]);
    const hash = createHash('sha256').update(text).digest('hex');
    writeFileAtomic(join(context.project, 'samples', `${hash}.png`), text);
    const trajectory = payload.keepTrajectories ?? false;
    if (trajectory) writeFileAtomic(join(context.project, 'trajectories', `${hash}.safetensors`), text);
    const file = { hash, prompt, position, seed: payload.seed, index, width: 8, height: 8, trajectory, side };
    context.event('sampleFile', file);
    context.progress(`picture ${position + 1} of ${pictures.length}`, position + 1, pictures.length);
  }
  return { pictures: pictures.length };
}

/** Does nothing until it is told something; not again when the job is resumed. */
async function waitOnce(mark: string, context: JobContext): Promise<void> {
  if (existsSync(mark)) return;
  writeFileAtomic(mark, '');
  while (context.control.request === 'run') await sleep(5);
}

async function misbehave(prompt: string, context: JobContext, position: number): Promise<void> {
  if (prompt.includes('slow')) await sleep(15);
  const wait = /wait@(\d+)/.exec(prompt)?.[1];
  if (position === Number(wait)) await waitOnce(join(context.project, 'jobs', `waited-${context.jobId}`), context);
  if (position < 1) return;
  if (prompt.includes('hang')) {
    // As a native call does: nothing else runs until it returns.
    for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  }
  // As a native abort, without its stack trace on the console.
  if (prompt.includes('abort')) process.kill(process.pid, 'SIGABRT');
  if (prompt.includes('crash-once')) {
    const mark = join(context.project, 'jobs', 'crashed-once');
    if (!existsSync(mark)) {
      writeFileAtomic(mark, '');
      process.kill(process.pid, 'SIGKILL');
    }
  } else if (prompt.includes('crash')) process.kill(process.pid, 'SIGKILL');
  if (prompt.includes('fail')) throw new NorthlightError('fake/failed', 'It failed as told.', 'Do not ask for it.');
  if (prompt.includes('babble')) context.event('sampleFile', { hash: '../../etc/passwd' });
}

const generate: JobFunction = async (raw, context) => {
  const payload = generatePayload.parse(raw);
  await context.models?.open(wantModel(payload.modelPath, payload.adapterPath, context.threads));
  const pictures = payload.prompts.flatMap((prompt, p) =>
    Array.from({ length: payload.count }, (_, k) => ({
      prompt,
      index: p * payload.count + k,
      adapter: payload.adapterPath,
      side: null,
    })),
  );
  return makePictures(context, pictures, payload);
};

const compare: JobFunction = (raw, context) => {
  const payload = comparePayload.parse(raw);
  const sides = [
    ['A', payload.adapterAPath],
    ['B', payload.adapterBPath],
  ] as const;
  const pictures = sides.flatMap(([side, adapter]) =>
    payload.prompts.flatMap((prompt, p) =>
      Array.from({ length: payload.perPrompt }, (_, k) => ({
        prompt,
        index: p * payload.perPrompt + k,
        adapter,
        side,
      })),
    ),
  );
  return makePictures(context, pictures, payload);
};

const tune: JobFunction = async (raw, context) => {
  const payload = tunePayload.parse(raw);
  const steps = Number(payload.config.steps);
  const first = existsSync(join(payload.runDirectory, 'step')) ? Number(readStep(payload.runDirectory)) : 0;
  const log = openMetricsLog(payload.runDirectory, first);
  let step = first;
  for (; step < steps; step++) {
    if (context.control.request === 'stop-and-keep') break;
    if (context.control.request !== 'run') {
      log.close();
      return null;
    }
    await sleep(Number(payload.config.stepMs ?? 0));
    if (step === payload.config.waitAt) await waitOnce(join(payload.runDirectory, 'waited'), context);
    const point = { step, values: { loss: 1 / (step + 1) } };
    log.append(point);
    writeFileAtomic(join(payload.runDirectory, 'step'), String(step + 1));
    context.event('metrics', point);
    context.progress(`step ${step + 1} of ${steps}`, step + 1, steps);
    context.event('strip', {
      step,
      pictures: payload.stripPrompts.map((prompt) => ({ prompt, hash: 'a'.repeat(64) })),
    });
  }
  log.close();
  const bytes = JSON.stringify({ pairs: payload.pairs.length, steps: step, runId: payload.runId });
  const adapterPath = join(payload.runDirectory, 'adapter.safetensors');
  mkdirSync(payload.runDirectory, { recursive: true });
  writeFileAtomic(adapterPath, bytes);
  const hash = createHash('sha256').update(bytes).digest('hex');
  return { adapterPath, hash, rank: 4, steps: step, verifiedDifference: 0 };
};

const verify: JobFunction = async (raw) => {
  verifyPayload.parse(raw);
  return { difference: 0.25, effect: 1 };
};

/** Says of every picture that it came out the same. */
const reproduce: JobFunction = async (raw) => {
  const { picturePath } = reproducePayload.parse(raw);
  const hash = createHash('sha256').update(readFileSync(picturePath)).digest('hex');
  const difference = { max: 0, mean: 0, differing: 0, pixels: 64, notes: [], amplified: null };
  return { identical: 'file', originalHash: hash, hash, ...difference };
};

function readStep(directory: string): string {
  return readFileSync(join(directory, 'step'), 'utf8');
}

/** Twice as much time for twice as many steps; a run of a thousand steps does not fit. */
const estimate: JobFunction = async (raw) => {
  const { config } = estimatePayload.parse(raw);
  const steps = Number(config.steps ?? 60);
  if (steps >= 1000) throw new NorthlightError('train/does-not-fit', 'Too large.', 'Take less.');
  const cost = { peakBytes: 1e9, budgetBytes: 4e9, secondsPerUpdate: 2, totalSeconds: 2 * steps, parts: 1 };
  return { ...cost, memory: { kind: 'flat' } };
};

/** Opens nothing, and remembers what it was asked for. */
const models = {
  key: null as string | null,
  open: async (wanted: WantedModel) => {
    models.key = modelKey(wanted);
    return undefined as never;
  },
  close: async () => {},
};

const dryStep: JobFunction = async (raw, context) => {
  if (dryStepPayload.parse(raw).modelPath.includes('wait')) {
    await waitOnce(join(context.project, 'jobs', `waited-${context.jobId}`), context);
  }
  return { ran: true, loadSeconds: 1, seconds: 0.5, finite: true, width: 8, height: 8 };
};

/** Makes nothing. */
const values: JobFunction = async (raw) => ({ folder: valuesPayload.parse(raw).folder, samples: 0 });
const bank: JobFunction = async (raw) => ({ key: bankPayload.parse(raw).key, samples: 0 });

const jobs: Record<JobSpec['kind'], JobFunction> = {
  ...{ generate, compare, tune, verify, score, reproduce, estimate, bank, values, 'dry-step': dryStep },
};

runCompute(
  {
    send: (message: FromCompute) =>
      new Promise((resolve) => void process.send?.(message, undefined, {}, () => resolve())),
    onMessage: (listener) => void process.on('message', (message) => listener(message as ToCompute)),
    onClosed: (listener) => void process.on('disconnect', listener),
    exit: (code) => process.exit(code),
  },
  async () => ({ jobs, models }),
);
