import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { COMPUTE_ENVIRONMENT } from '#models/runtime/training-options.ts';
import type { Tensor } from '#models/tensor/tensor.ts';
import { buildUnet } from '#pipelines/recipes/flora/network.ts';
import { FLORA } from '#pipelines/recipes/flora/train.ts';
import { buildAttentionUnet } from './attention-unet.ts';
import { denoiserFeeds, fullStep, loraStep, withRandomWeights } from './training-step.ts';

/** What a measured process runs: a network's plain forward pass, or one training step of it. */
export interface StepSpec {
  readonly network: 'attention-unet' | 'flora';
  readonly kind: 'forward' | 'lora' | 'full';
  readonly batch: number;
  readonly threads: number;
  /** How many parts the forward pass is cut into for activation checkpointing; absent: every activation is kept. */
  readonly segments?: number;
}

/** A process of its own with one session: nothing else's memory or threads in it. */
export interface StepProcess {
  /** One run, in milliseconds as its process measures them. */
  run(): Promise<{ readonly wallMs: number; readonly cpuMs: number }>;
  /** The most memory the process had so far, in MB of 2^20 bytes; null where the system does not say. */
  peakMb(): Promise<number | null>;
  end(): void;
}

export const LORA_RANK = 8;

/** Starts the process and waits until its session is ready. */
export async function startStep(spec: StepSpec): Promise<StepProcess> {
  const child = fork(import.meta.filename, [JSON.stringify(spec)], {
    execArgv: ['--expose-gc'],
    env: { ...(spec.kind === 'forward' ? {} : COMPUTE_ENVIRONMENT), ...process.env },
  });
  const next = () =>
    new Promise<never>((resolve, reject) => {
      const gone = (code: number | null) => reject(new Error(`The measured process ended with code ${code}.`));
      child.once('exit', gone);
      child.once('message', (m) => {
        child.off('exit', gone);
        resolve(m as never);
      });
    });
  const ask = (what: string) => {
    const answer = next();
    child.send(what);
    return answer;
  };
  await next();
  return { run: () => ask('run'), peakMb: () => ask('peak'), end: () => child.disconnect() };
}

function buildStep({ network, kind, batch, segments }: StepSpec): { model: Model; feeds: Record<string, Tensor> } {
  const unet = withRandomWeights(network === 'flora' ? buildUnet(FLORA, 1) : buildAttentionUnet());
  if (kind === 'forward') return { model: unet, feeds: denoiserFeeds(unet, batch) };
  const memory = segments ? ({ kind: 'checkpoint', segments } as const) : undefined;
  return kind === 'lora' ? loraStep(unet, batch, LORA_RANK, memory) : fullStep(unet, batch, memory);
}

/** Nothing of the model stays in JavaScript but what is fed: a function's own variables live until it returns. */
async function open(spec: StepSpec): Promise<{ session: Session; feeds: Record<string, Tensor> }> {
  const { model, feeds } = buildStep(spec);
  const session = await createSession(
    encodeModel(model),
    spec.kind === 'forward'
      ? { threads: spec.threads, arena: true, spinning: true }
      : { threads: spec.threads, training: true, optimization: spec.segments ? 'extended' : 'all' },
  );
  return { session, feeds };
}

async function serve(spec: StepSpec): Promise<void> {
  const { session, feeds } = await open(spec);
  // Buffers are freed beside the program, some time after they were found to be garbage.
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await setTimeout(20);
  }
  process.on('disconnect', () => process.exit(0));
  process.on('message', async (what) => {
    if (what === 'peak') return process.send!(peakMb());
    const cpu = process.cpuUsage();
    const start = performance.now();
    await session.run(feeds);
    const wallMs = performance.now() - start;
    const used = process.cpuUsage(cpu);
    return process.send!({ wallMs, cpuMs: (used.user + used.system) / 1000 });
  });
  process.send!('ready');
}

function peakMb(): number | null {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024;
  } catch {
    return null;
  }
}

if (process.argv[1] === import.meta.filename && process.send) await serve(JSON.parse(process.argv[2]!) as StepSpec);
