import { existsSync, readFileSync } from 'node:fs';
import { importGraph } from '#models/autodiff/import-graph.ts';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { trainingSessionOptions } from '#models/runtime/training-options.ts';
import type { Tensor } from '#models/tensor/tensor.ts';
import { estimateRun, type MachineRates, type Spent } from '#models/training/estimate.ts';
import { peakBytes } from '#models/training/plan.ts';
import type { MemoryMode } from '#models/training/training-graph.ts';
import { buildUnet } from '#pipelines/recipes/flora/network.ts';
import { FLORA } from '#pipelines/recipes/flora/train.ts';
import { buildAttentionUnet } from './attention-unet.ts';
import { buildDit } from './dit.ts';
import { denoiserFeeds, fullStep, loraStep, type TrainingStep, withRandomWeights } from './training-step.ts';

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
  /** What the estimate of the step, and of the exported network's forward pass, is made of. */
  readonly spent: Spent;
  readonly forwardSpent: Spent;
  readonly estimatedBytes: number;
  readonly activationBytes: number;
  readonly weightBytes: number;
  /** Of each round; the two run in turn. */
  readonly seconds: readonly number[];
  readonly forwardSeconds: readonly number[];
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

function stepOf(model: Model, { kind, batch, memory }: EstimateCase): TrainingStep {
  return kind === 'lora' ? loraStep(model, batch, 8, memory) : fullStep(model, batch, memory);
}

/** What the network as exported costs, from its graph. */
function forwardSpent(model: Model, feeds: Readonly<Record<string, Tensor>>, rates: MachineRates): Spent {
  const op = createBuilder();
  const inputs = Object.fromEntries(Object.entries(feeds).map(([name, t]) => [name, t.dims]));
  for (const [name, value] of importGraph(op, model, { inputs }).outputs) op.output(value, name);
  return estimateRun(op.toModel('forward'), op.values, rates).spent;
}

/** Most memory this process ever held. */
export function peakMemory(): number {
  const status = '/proc/self/status';
  const line = existsSync(status) ? /VmHWM:\s+(\d+) kB/.exec(readFileSync(status, 'utf8')) : null;
  return line ? Number(line[1]) * 1024 : process.resourceUsage().maxRSS * 1024;
}

const request = JSON.parse(process.argv[2]!) as EstimateRequest;
const network = withRandomWeights(NETWORKS[request.network]());
const { model, types, feeds } = stepOf(network, request);
const estimate = estimateRun(model, types, request.rates);
const { weightBytes } = estimate;
const estimatedBytes = peakBytes(estimate);
const scoped = request.memory.kind === 'checkpoint';
const options = trainingSessionOptions({ weightBytes, peakBytes: estimatedBytes, scoped, halfWeights: false }, 1e10);
const { threads } = request;
const step = await createSession(encodeModel(model), { ...options, threads });
const timed = async (body: () => Promise<unknown>) => {
  const start = performance.now();
  await body();
  return (performance.now() - start) / 1000;
};
for (let i = 0; i < 3; i++) await step.run(feeds);
const peak = peakMemory();
const plainFeeds = denoiserFeeds(network, request.batch);
const plain = await createSession(encodeModel(network), { threads, arena: true, spinning: true });
const [seconds, forwardSeconds]: [number[], number[]] = [[], []];
for (let i = -1; i < request.rounds; i++) {
  const [a, b] = [await timed(() => plain.run(plainFeeds)), await timed(() => step.run(feeds))];
  if (i < 0) continue;
  forwardSeconds.push(a);
  seconds.push(b);
}
const answer: EstimateAnswer = {
  estimatedSeconds: estimate.seconds,
  spent: estimate.spent,
  forwardSpent: forwardSpent(network, plainFeeds, request.rates),
  estimatedBytes,
  activationBytes: estimate.activationBytes,
  weightBytes,
  seconds,
  forwardSeconds,
  peakBytes: peak,
};
process.stdout.write(`${JSON.stringify(answer)}\n`);
