import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { COMPUTE_ENVIRONMENT } from '#models/runtime/training-options.ts';
import { measureRates } from '#models/training/machine-rates.ts';
import type { EstimateAnswer, EstimateCase, EstimateRequest } from './lib/estimate-process.ts';
import { quantile } from './lib/measure.ts';

const PROCESS = fileURLToPath(new URL('./lib/estimate-process.ts', import.meta.url));
const flat = { kind: 'flat' } as const;
const segments = (n: number) => ({ kind: 'checkpoint', segments: n }) as const;

/** The first two networks were looked at while the estimate was made; the others were not. */
const CASES: readonly EstimateCase[] = [
  { network: 'flora', kind: 'lora', batch: 16, memory: flat },
  { network: 'flora', kind: 'full', batch: 16, memory: flat },
  { network: 'unet', kind: 'lora', batch: 4, memory: flat },
  { network: 'unet', kind: 'full', batch: 4, memory: flat },
  { network: 'unet', kind: 'lora', batch: 4, memory: segments(8) },
  { network: 'wide-unet', kind: 'lora', batch: 6, memory: flat },
  { network: 'wide-unet', kind: 'full', batch: 3, memory: flat },
  { network: 'wide-unet', kind: 'lora', batch: 6, memory: segments(4) },
  { network: 'dit', kind: 'lora', batch: 4, memory: flat },
  { network: 'dit', kind: 'full', batch: 4, memory: flat },
  { network: 'dit', kind: 'full', batch: 4, memory: segments(4) },
  { network: 'long-dit', kind: 'lora', batch: 2, memory: flat },
];

export interface EstimateResult extends EstimateCase {
  readonly seconds: number;
  readonly estimatedSeconds: number;
  readonly peakBytes: number;
  readonly estimatedBytes: number;
}

/** Time and memory of training steps against what was estimated before; each step in a process of its own. */
export async function measure(options: { threads?: number; rounds?: number; only?: RegExp } = {}) {
  const threads = options.threads ?? availableParallelism();
  const rounds = options.rounds ?? 5;
  const results: EstimateResult[] = [];
  for (const one of CASES) {
    if (options.only && !options.only.test(`${one.network} ${one.kind} ${one.memory.kind}`)) continue;
    const request: EstimateRequest = { ...one, rates: await measureRates(threads), rounds, threads };
    const { stdout } = await promisify(execFile)(process.execPath, [PROCESS, JSON.stringify(request)], {
      env: { ...process.env, ...COMPUTE_ENVIRONMENT },
      maxBuffer: 2 ** 24,
    });
    const answer = JSON.parse(stdout) as EstimateAnswer;
    const { estimatedSeconds, peakBytes, estimatedBytes } = answer;
    results.push({ ...one, seconds: quantile(answer.seconds, 0.5), estimatedSeconds, peakBytes, estimatedBytes });
  }
  return { results, rounds, threads };
}
