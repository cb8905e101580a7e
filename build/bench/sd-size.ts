import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { NorthlightError } from '#models/errors.ts';
import { COMPUTE_ENVIRONMENT } from '#models/runtime/training-options.ts';
import { measureRates } from '#models/training/machine-rates.ts';
import type { MemoryMode } from '#models/training/training-graph.ts';
import { quantile } from './lib/measure.ts';
import { type Answer, type Request, weightFile } from './lib/sd-step.ts';
import { buildSdUnet, SD15, writeWeights } from './lib/sd15-unet.ts';

const PROCESS = fileURLToPath(new URL('./lib/sd-process.ts', import.meta.url));
/** Files, and the peak of the largest case, with room to breathe. */
const NEEDED_BYTES = 8e9;
/** What a step may take: the mapped weights and 2.5 GB. */
const BUDGET_BYTES = 6e9;

export interface SdCase {
  readonly name: string;
  /** Median seconds of one forward pass and of one training step of the same batch. */
  readonly forwardSeconds?: number;
  readonly stepSeconds: number;
  readonly ratio?: number;
  /** Peak memory of the process that ran it, mapped weights included, and the estimates made before the run. */
  readonly peakBytes: number;
  readonly estimatedBytes: number;
  readonly estimatedSeconds: number;
  readonly differenceRatio?: number;
  readonly resumes?: boolean;
}

export interface SdOptions {
  readonly threads?: number;
  readonly rounds?: number;
  readonly only?: RegExp;
  /** Where the 3.4 GB of weights are written; a folder given here is kept, with the files for the next time. */
  readonly folder?: string;
  /** Leave out the difference quotient and the resumed update, six more steps per case. */
  readonly timesOnly?: boolean;
}

/**
 * Training steps at the size of Stable Diffusion 1.5 (random weights, 64×64 latents, batch 1, adapters of rank 4 on the
 * attention projections) against forward passes, each in its own process: seconds, peak memory, what was estimated before,
 * the difference quotient along the gradient, and whether a resumed update is the same. The two smaller networks are there
 * for the estimates.
 */
export async function measure(options: SdOptions = {}) {
  if (freemem() < NEEDED_BYTES) {
    throw new NorthlightError(
      'bench/no-room',
      `This benchmark needs ${NEEDED_BYTES / 1e9} GB of free memory, and there are ${(freemem() / 1e9).toFixed(1)}.`,
      'Close other programs.',
    );
  }
  const threads = options.threads ?? Math.max(1, availableParallelism());
  const rounds = options.rounds ?? 2;
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'northlight-sd-'));
  const rates = await measureRates(threads);
  const run = (network: Request['network'], dtype: Request['dtype'], kind: Request['kind'], memory: MemoryMode) =>
    inProcess({ network, dtype, kind, memory, rounds, folder, rates, budgetBytes: BUDGET_BYTES, threads });
  const flat: MemoryMode = { kind: 'flat' };
  const eight: MemoryMode = { kind: 'checkpoint', segments: 8 };
  // Everything is computed again, also what is dear: the least memory.
  const least: MemoryMode = { kind: 'checkpoint', segments: 12, keepAbove: 1e6 };
  const cases: { name: string; network: Request['network']; dtype: Request['dtype']; memory: MemoryMode }[] = [
    { name: 'flora, batch 16', network: 'flora', dtype: 'float32', memory: flat },
    { name: '17 M parameters, batch 4', network: 'attention', dtype: 'float32', memory: flat },
    { name: '17 M parameters, batch 4, checkpoints', network: 'attention', dtype: 'float32', memory: eight },
    { name: 'SD 1.5 float32', network: 'sd', dtype: 'float32', memory: flat },
    { name: 'SD 1.5 float32, checkpoints', network: 'sd', dtype: 'float32', memory: least },
    { name: 'SD 1.5 float16', network: 'sd', dtype: 'float16', memory: flat },
    { name: 'SD 1.5 float16, checkpoints', network: 'sd', dtype: 'float16', memory: eight },
  ];
  const results: SdCase[] = [];
  try {
    for (const { name, network, dtype, memory } of cases) {
      if (options.only && !options.only.test(name)) continue;
      if (network === 'sd') prepare(folder, dtype);
      const forward = await run(network, dtype, 'forward', flat);
      const step = await run(network, dtype, 'step', memory);
      const checks = network === 'sd' && !options.timesOnly ? await run(network, dtype, 'verify', memory) : undefined;
      const [forwardSeconds, stepSeconds] = [forward, step].map((a) => quantile(a.seconds, 0.5)) as [number, number];
      results.push({
        name,
        forwardSeconds,
        stepSeconds,
        ratio: stepSeconds / forwardSeconds,
        peakBytes: step.peakBytes,
        estimatedBytes: step.estimate.peakBytes,
        estimatedSeconds: step.estimate.seconds,
        ...(checks?.differenceRatio === undefined ? {} : { differenceRatio: checks.differenceRatio }),
        ...(checks?.resumes === undefined ? {} : { resumes: checks.resumes }),
      });
    }
  } finally {
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
  }
  return { cases: results, rates, rounds, threads };
}

function prepare(folder: string, dtype: Request['dtype']): void {
  const location = weightFile(dtype);
  const unet = buildSdUnet(SD15, location, dtype);
  if (!existsSync(join(folder, location))) writeWeights(unet, join(folder, location));
}

async function inProcess(request: Request): Promise<Answer> {
  const { stdout } = await promisify(execFile)(process.execPath, [PROCESS, JSON.stringify(request)], {
    env: { ...process.env, ...COMPUTE_ENVIRONMENT },
    maxBuffer: 2 ** 24,
  });
  return JSON.parse(stdout) as Answer;
}
