import { existsSync, readFileSync } from 'node:fs';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { trainingSessionOptions } from '#models/runtime/training-options.ts';
import { estimateRun, type MachineRates } from '#models/training/estimate.ts';
import { peakBytes } from '#models/training/plan.ts';
import type { MemoryMode } from '#models/training/training-graph.ts';
import { buildUnet } from '#pipelines/recipes/flora/network.ts';
import { FLORA } from '#pipelines/recipes/flora/train.ts';
import { buildAttentionUnet } from './attention-unet.ts';
import { buildDit } from './dit.ts';
import { fullStep, loraStep, type TrainingStep, withRandomWeights } from './training-step.ts';

/** A training step whose cost is estimated and then measured, in a process of its own. */
export interface EstimateCase {
  readonly network: 'flora' | 'unet' | 'wide-unet' | 'dit' | 'long-dit';
  readonly kind: 'lora' | 'full';
  readonly batch: number;
  readonly memory: MemoryMode;
}

export interface EstimateRequest extends EstimateCase {
  readonly rates: MachineRates;
  readonly rounds: number;
  readonly threads: number;
}

export interface EstimateAnswer {
  readonly estimatedSeconds: number;
  readonly estimatedBytes: number;
  readonly activationBytes: number;
  readonly weightBytes: number;
  readonly seconds: readonly number[];
  readonly peakBytes: number;
}

const NETWORKS: Readonly<Record<EstimateCase['network'], () => Model>> = {
  flora: () => buildUnet(FLORA, 1),
  unet: buildAttentionUnet,
  // Another plan: wider, other grids, hardly any attention.
  'wide-unet': () => buildUnet({ ...FLORA, channels: [96, 192, 256], size: 48 }, 1),
  dit: () => buildDit({ width: 384, depth: 6, heads: 6, size: 32 }),
  'long-dit': () => buildDit({ width: 192, depth: 4, heads: 3, size: 64 }),
};

function stepOf({ network, kind, batch, memory }: EstimateCase): TrainingStep {
  const model = withRandomWeights(NETWORKS[network]());
  return kind === 'lora' ? loraStep(model, batch, 8, memory) : fullStep(model, batch, memory);
}

/** Most memory this process ever held. */
export function peakMemory(): number {
  const status = '/proc/self/status';
  const line = existsSync(status) ? /VmHWM:\s+(\d+) kB/.exec(readFileSync(status, 'utf8')) : null;
  return line ? Number(line[1]) * 1024 : process.resourceUsage().maxRSS * 1024;
}

const request = JSON.parse(process.argv[2]!) as EstimateRequest;
const { model, types, feeds } = stepOf(request);
const estimate = estimateRun(model, types, request.rates);
const { weightBytes } = estimate;
const estimatedBytes = peakBytes(estimate);
const scoped = request.memory.kind === 'checkpoint';
const options = trainingSessionOptions({ weightBytes, peakBytes: estimatedBytes, scoped, halfWeights: false }, 1e10);
const session = await createSession(encodeModel(model), { ...options, threads: request.threads });
const seconds: number[] = [];
for (let i = -2; i < request.rounds; i++) {
  const start = performance.now();
  await session.run(feeds);
  if (i >= 0) seconds.push((performance.now() - start) / 1000);
}
const answer: EstimateAnswer = {
  estimatedSeconds: estimate.seconds,
  estimatedBytes,
  activationBytes: estimate.activationBytes,
  weightBytes,
  seconds,
  peakBytes: peakMemory(),
};
process.stdout.write(`${JSON.stringify(answer)}\n`);
