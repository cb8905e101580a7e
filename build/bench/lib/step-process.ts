import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
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
    env: { ...trainingEnvironment(), ...process.env },
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

/** glibc gives large blocks back to the system at once and asks for them again in the next operator, unless told not to. */
function trainingEnvironment(): Record<string, string> {
  return { MALLOC_MMAP_THRESHOLD_: String(2 ** 25), MALLOC_TRIM_THRESHOLD_: String(2 ** 28) };
}

function buildStep({ network, kind, batch }: StepSpec): { model: Model; feeds: Record<string, Tensor> } {
  const unet = withRandomWeights(network === 'flora' ? buildUnet(FLORA, 1) : buildAttentionUnet());
  if (kind === 'forward') return { model: unet, feeds: denoiserFeeds(unet, batch) };
  return kind === 'lora' ? loraStep(unet, batch, LORA_RANK) : fullStep(unet, batch);
}

async function serve(spec: StepSpec): Promise<void> {
  const { model, feeds } = buildStep(spec);
  const session = await createSession(
    encodeModel(model),
    spec.kind === 'forward'
      ? { threads: spec.threads, arena: true, spinning: true }
      : { threads: spec.threads, training: true },
  );
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
