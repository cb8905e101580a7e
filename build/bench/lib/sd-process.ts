import { existsSync, readFileSync, rmSync } from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { trainingSessionOptions } from '#models/runtime/training-options.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { adamwStep, globalNorm } from '#models/training/adamw.ts';
import { estimateRun } from '#models/training/estimate.ts';
import { peakBytes } from '#models/training/plan.ts';
import { createTrainerState, restoreState, stateTensors } from '#models/training/trainer.ts';
import { buildUnet } from '#pipelines/recipes/flora/network.ts';
import { FLORA } from '#pipelines/recipes/flora/train.ts';
import { buildAttentionUnet } from './attention-unet.ts';
import {
  type Answer,
  ATTENTION_PROJECTIONS,
  type Feeds,
  forwardGraph,
  loraLossGraph,
  type Request,
  randomAdapter,
  weightFile,
  withTarget,
} from './sd-step.ts';
import { buildSdUnet, SD15, sdFeeds } from './sd15-unet.ts';
import { denoiserFeeds, withRandomWeights } from './training-step.ts';

function network(request: Request): {
  unet: Model;
  feeds: Feeds;
  rank: number;
  targets: Parameters<typeof randomAdapter>[1];
} {
  if (request.network === 'sd') {
    const { model } = buildSdUnet(SD15, weightFile(request.dtype), request.dtype);
    return { unet: model, feeds: sdFeeds(SD15), rank: 4, targets: ATTENTION_PROJECTIONS };
  }
  const flora = request.network === 'flora';
  const unet = withRandomWeights(flora ? buildUnet(FLORA, 1) : buildAttentionUnet());
  return { unet, feeds: denoiserFeeds(unet, flora ? 16 : 4), rank: 8, targets: 'all' };
}

/** Most memory this process ever held. */
function peakMemory(): number {
  const status = '/proc/self/status';
  const line = existsSync(status) ? /VmHWM:\s+(\d+) kB/.exec(readFileSync(status, 'utf8')) : null;
  return line ? Number(line[1]) * 1024 : process.resourceUsage().maxRSS * 1024;
}

async function main(request: Request): Promise<Answer> {
  const { unet, feeds, rank, targets } = network(request);
  const training = request.kind !== 'forward';
  const parameters = training ? randomAdapter(unet, targets, rank) : new Map<string, Tensor<'float32'>>();
  const graph = training ? loraLossGraph(unet, feeds, targets, rank, request.memory) : forwardGraph(unet, feeds);
  const estimate = estimateRun(graph.model, graph.types, request.rates);
  const options = trainingSessionOptions(
    {
      weightBytes: estimate.weightBytes,
      peakBytes: peakBytes(estimate),
      scoped: request.memory.kind === 'checkpoint',
      halfWeights: request.dtype === 'float16',
    },
    request.budgetBytes,
  );
  const start = performance.now();
  const session = await createSession(encodeModel(graph.model), {
    ...options,
    folder: request.folder,
    ...(request.threads ? { threads: request.threads } : {}),
  });
  const createSeconds = (performance.now() - start) / 1000;
  const given = training ? { ...withTarget(feeds), ...Object.fromEntries(parameters) } : feeds;
  const seconds: number[] = [];
  let out: Record<string, Tensor> = {};
  for (let i = request.kind === 'verify' ? 0 : -1; i < request.rounds; i++) {
    const t = performance.now();
    out = await session.run(given);
    if (i >= 0) seconds.push((performance.now() - t) / 1000);
  }
  const peak = peakMemory();
  const checks = request.kind === 'verify' ? await verify(session, given, parameters, out, request.folder) : {};
  await session.release();
  return {
    createSeconds,
    seconds,
    peakBytes: peak,
    estimate: { seconds: estimate.seconds, peakBytes: peakBytes(estimate) },
    ...checks,
  };
}

async function verify(
  session: Session,
  given: Feeds,
  parameters: ReadonlyMap<string, Tensor<'float32'>>,
  out: Record<string, Tensor>,
  folder: string,
): Promise<{ differenceRatio: number; resumes: boolean }> {
  const gradient = (o: Record<string, Tensor>) =>
    Object.fromEntries([...parameters.keys()].map((name) => [name, o[`grad/${name}`]!]));
  const g = gradient(out);
  const norm = globalNorm(Object.values(g));
  const loss = (o: Record<string, Tensor>) => (o.loss!.data as Float32Array)[0]!;
  // A step along the gradient that changes the loss by about one part in five hundred.
  const h = (0.002 * loss(out)) / norm;
  const at = async (sign: number) => {
    const moved = [...parameters].map(([name, t]) => {
      const d = g[name]!.data as Float32Array;
      return [
        name,
        f32(
          t.dims,
          t.data.map((v, i) => v + (sign * h * d[i]!) / norm),
        ),
      ] as const;
    });
    return loss(await session.run({ ...given, ...Object.fromEntries(moved) }, ['loss']));
  };
  // Four points: the error of the quotient is of fourth order in h, far below what float32 rounds the loss to.
  const near = (await at(0.5)) - (await at(-0.5));
  const far = (await at(1)) - (await at(-1));
  const differenceRatio = (8 * near - far) / (6 * h * norm);

  const adamw = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };
  const state = createTrainerState(parameters);
  adamwStep(state, g, 1e-4, adamw);
  const path = join(folder, 'resume.safetensors');
  writeSafetensors(path, stateTensors(state));
  const resumed = createTrainerState(parameters);
  restoreState(resumed, readSafetensors(path).tensors, state.step);
  rmSync(path);
  for (const s of [state, resumed]) {
    adamwStep(s, gradient(await session.run({ ...given, ...Object.fromEntries(s.parameters) })), 1e-4, adamw);
  }
  const resumes = [...state.parameters].every(
    ([name, t]) =>
      Buffer.compare(Buffer.from(t.data.buffer), Buffer.from(resumed.parameters.get(name)!.data.buffer)) === 0,
  );
  return { differenceRatio, resumes };
}

const request = JSON.parse(process.argv[2]!) as Request;
const answer = await main({ ...request, budgetBytes: Math.min(request.budgetBytes, freemem()) });
process.stdout.write(`${JSON.stringify(answer)}\n`);
