import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { portType } from '#models/autodiff/precision.ts';
import { NorthlightError } from '#models/errors.ts';
import { openModelFolder, rememberedModelHash } from '#models/families/index.ts';
import { sha256File, writeJsonAtomic } from '#models/files.ts';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Provider, type Session, type SessionOptions } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { dimsEqual, f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { type AdamWState, adamwStep, clipFactor, createAdamW, globalNorm } from '#models/training/adamw.ts';
import { findLoraTargets, initLora, insertLora } from '#models/training/lora.ts';
import { writeLoraFile } from '#models/training/lora-file.ts';
import { verifyLora } from '#models/training/lora-verify.ts';
import {
  createLossScale,
  DYNAMIC_LOSS_SCALE,
  LOSS_SCALE_INPUT,
  type LossScaleState,
  lossScaleFeed,
  lossScaleTensor,
  nextLossScale,
  restoreLossScale,
  staticLossScale,
} from '#models/training/loss-scale.ts';
import { machineRates } from '#models/training/machine-rates.ts';
import { readCheckpoint, writeCheckpoint } from '#pipelines/runs/checkpoint.ts';
import { openMetricsLog } from '#pipelines/runs/metrics-log.ts';
import { planRun } from '#pipelines/runs/run-plan.ts';
import { isBatched, sameShapes, stackFor, toPort } from '#pipelines/sampling/feeds.ts';
import { generatePictures } from '#pipelines/sampling/generate.ts';
import {
  type ImagePipeline,
  loadPipeline,
  type NetworkDenoiser,
  type PromptCondition,
} from '#pipelines/sampling/pipeline.ts';
import { readTrajectory, type Trajectory, type TrajectoryMetadata } from '#pipelines/sampling/trajectory.ts';
import type { GaussianStep } from '#pipelines/schedulers/types.ts';
import { type D3poConfig, d3poSchema } from './d3po-config.ts';
import { d3poForms, STRIP_STEPS } from './d3po-forms.ts';
import { buildStandardisedGraph, type StepOptions } from './d3po-graph.ts';
import { estimateD3po } from './estimate-d3po.ts';
import { networkPorts, pixelsOf } from './network-ports.ts';
import {
  isRounded,
  roundingOf,
  type Standardised,
  standardisedByRow,
  standardisedByStep,
  toOwnArithmetic,
} from './own-arithmetic.ts';
import { probeFeeds } from './probe.ts';
import { trainingProvider } from './training-provider.ts';
import { defineAlgorithm, type FinetuneResult, type FinetuneTask } from './types.ts';

interface Item {
  readonly pair: number;
  readonly step: number;
}

interface Chain {
  readonly data: Trajectory;
  readonly origin: TrajectoryMetadata;
}

/** A row of an update: a denoising step, and whether the reference is what made it. */
interface Row {
  readonly row: number;
  readonly step: GaussianStep;
  readonly byReference: boolean;
}

const WARMUP = 10;
/** Of weights: above it, a copy of them in every session costs more than it gives. */
const LARGE_BYTES = 1e9;

/**
 * Direct preference for denoising diffusion policy optimisation (Yang et al. 2023, arXiv:2311.13231): the outcome of a
 * comparison is copied to every denoising step of both stored trajectories, and each step gets a DPO loss.
 *
 * Deviation 1: the released code clamps every ratio to 1 ± 0.1, which leaves the loss between 0.683 and 0.703 and stops
 * the gradient where the model has moved; here the clamp is off (`ratioClip`) and `beta` does the anchoring.
 * Deviation 2: the released human-feedback script takes the model of the previous round as reference; here the reference
 * is always the base model, so that KL and adapter are against what other tools will load.
 * Deviation 3: β of a step is multiplied by its σ/|b| (mean 1 over the steps; `stepWeights`), b being how far the mean moves
 * with the network's output. Unweighted, the gradient grows with |b|/σ: the last step, nearly free of noise, weighs a hundred times
 * the first ones, where colours and shapes are decided. The released clamp hides the same thing.
 * An update takes `itemsPerUpdate` (pair, step) items in a fresh order each epoch instead of all steps of a pair.
 */
export const d3po = defineAlgorithm({
  name: 'd3po',
  title: 'D3PO',
  description: 'Learns from comparisons of pictures whose denoising steps were kept. No reward model.',
  source: 'Yang et al. 2023, arXiv:2311.13231',
  schema: d3poSchema,
  run,
  estimate: estimateD3po,
});

async function run(task: FinetuneTask<D3poConfig>): Promise<FinetuneResult | null> {
  const { config, runDirectory } = task;
  if (task.pairs.length === 0) {
    throw new NorthlightError(
      'tune/no-pairs',
      'There is no decided comparison to learn from.',
      'Rank some pictures first: each clear choice between two pictures of one prompt is a pair.',
    );
  }
  mkdirSync(runDirectory, { recursive: true });
  task.progress('opening the model', 0, config.steps);
  const chains = loadChains(task);
  const { guidanceScale, clipSkip = 1 } = chains[0]!.winner.origin;

  const opened = {
    ...(task.threads ? { threads: task.threads } : {}),
    lean: openModelFolder(task.modelPath).sizeBytes > LARGE_BYTES,
    clipSkip,
  };
  const base = await loadPipeline(task.modelPath, opened);
  const { folder } = base;
  const { dims } = chains[0]!.winner.data;
  const strange = task.pairs
    .flatMap((p) => [p.winner, p.loser])
    .find((_, i) => !dimsEqual(chains[i >> 1]![i % 2 === 0 ? 'winner' : 'loser'].data.dims, dims));
  const pixels = pixelsOf(folder.model, dims);
  if (strange || !pixels) {
    await base.close();
    throw new NorthlightError(
      'tune/other-model',
      `${(strange ?? task.pairs[0]!.winner).trajectoryPath} holds pictures of another size than ${folder.name} makes or than the others.`,
      'Tune the model that made the pictures.',
    );
  }
  const denoiser = base.denoiser(guidanceScale, pixels);
  const view = { guidanceScale, ...pixels };
  const firstInputs = await commonInputs(base, denoiser, chains);
  const modelHash = await rememberedModelHash(folder.path);
  const targets = findLoraTargets(folder.unet, config.targets);
  const scale = { rank: config.rank, alpha: config.alpha ?? config.rank };
  const newAdapter = () => initLora(targets, scale, new Rng(config.seed).fork('lora'));
  const start = newAdapter();
  const state: AdamWState = createAdamW(newAdapter());
  const names = [...state.parameters.keys()];
  const live = await loadPipeline(task.modelPath, {
    ...opened,
    live: { targets, scale, parameters: state.parameters },
  });
  const rates = await machineRates(task.threads);
  const network: StepOptions = {
    unet: insertLora(folder.unet, targets, scale, state.parameters),
    parameters: names,
    dims: denoiser.networkDims,
    ports: networkPorts(folder.model, firstInputs.prompt),
    guidanceScale: firstInputs.negative ? guidanceScale : null,
    kernels: (task.provider ?? 'cpu') === 'cpu' ? 'ort' : 'standard',
    compute: config.compute,
  };
  const forms = d3poForms(
    { ...network, items: config.itemsPerUpdate, beta: config.beta, ratioClip: config.ratioClip },
    { ...config, stripPrompts: task.stripPrompts.length, rates },
  );
  const {
    plan,
    session: sessionOptions,
    record,
  } = planRun(runDirectory, forms.build, {
    rates,
    budgetBytes: config.memoryBudget === null ? undefined : config.memoryBudget * 1e9,
    parts: forms.parts,
    seconds: forms.seconds,
  });
  task.planned(record);
  const scaling = config.compute === 'stored' ? DYNAMIC_LOSS_SCALE : staticLossScale(1);
  const lossScale = createLossScale(scaling);
  const total = chains[0]!.winner.data.steps.length;
  const items: Item[] = chains.flatMap((_, pair) => Array.from({ length: total }, (_, step) => ({ pair, step })));
  /** Last seen margin of each item, NaN before it was seen: whether a pair is ordered is told by the sum over its steps. */
  const margins = new Float32Array(items.length).fill(Number.NaN);
  const checkpoint = readCheckpoint(runDirectory);
  if (checkpoint) {
    const { tensors } = readSafetensors(join(checkpoint.folder, 'state.safetensors'));
    restore(state, margins, tensors, checkpoint.step);
    restoreLossScale(lossScale, tensors);
  }
  const configPath = join(runDirectory, 'config.json');
  if (!existsSync(configPath)) {
    const record = { algorithm: 'd3po', model: folder.name, modelHash, config, pairs: task.pairs };
    writeJsonAtomic(configPath, record);
  }
  const log = openMetricsLog(runDirectory, state.step + 1);
  const save = () =>
    writeCheckpoint(runDirectory, state.step, (f) =>
      writeSafetensors(join(f, 'state.safetensors'), snapshot(state, margins, lossScale)),
    );
  const feed = createFeeder(
    base,
    denoiser,
    chains,
    modelHash,
    stepWeights(chains[0]!.winner.data.steps, config.stepWeights),
  );
  const rounding = roundingOf(folder.unet);
  /** Absent: the sampler computes as the training graph does, or no step is fine enough to tell. */
  let standardised: Standardised | undefined;
  const scaled = () => (config.compute === 'stored' ? { [LOSS_SCALE_INPUT]: lossScaleFeed(lossScale) } : {});
  const feedsOf = async (chosen: readonly number[]) => {
    const { feeds: common, rows } = await feed(chosen.map((i) => items[i]!));
    const feeds = { ...common, ...scaled() };
    const rounded = rows.filter(({ step }) => isRounded(step, rounding, numel(dims)));
    if (standardised) await toOwnArithmetic(standardised, rounded, feeds);
    return { ...feeds, ...Object.fromEntries(state.parameters) };
  };
  const share = config.itemsPerUpdate / plan.form.parts;
  const options = {
    ...sessionOptions,
    folder: dirname(folder.unetPath),
    ...(task.threads ? { threads: task.threads } : {}),
  };
  const { session, provider } = await openStep(task, plan.graph.model, options, () =>
    feedsOf(pick(items, state.step, config).slice(0, share)),
  );
  const fine = chains[0]!.winner.data.steps.some((step) => isRounded(step, rounding, numel(dims)));
  const byRow =
    fine && config.compute !== 'stored'
      ? await createSession(encodeModel(buildStandardisedGraph(network)), { ...options, provider })
      : null;
  if (fine) standardised = byRow ? standardisedByRow(byRow, start) : standardisedByStep(session, start);

  try {
    if (state.step === 0) await drawStrip(task, live, view, 0);
    while (state.step < config.steps) {
      const request = task.request();
      if (request === 'stop') {
        save();
        return null;
      }
      if (request === 'keep') break;
      const chosen = pick(items, state.step, config);
      const update = await summedUpdate(session, names, chunksOf(chosen, share), feedsOf);
      const unscale = 1 / (plan.form.parts * lossScale.scale);
      const gradientNorm = globalNorm(Object.values(update.gradients)) * unscale;
      if (config.compute === 'stored' && !nextLossScale(lossScale, scaling, Number.isFinite(gradientNorm))) continue;
      const rate = config.learningRate * Math.min(1, (state.step + 1) / WARMUP);
      adamwStep(
        state,
        update.gradients,
        rate,
        { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: config.weightDecay },
        clipFactor(gradientNorm, config.maxGradientNorm) * unscale,
      );

      chosen.forEach((item, k) => {
        margins[item] = update.margins[k]!;
      });
      const { kl } = update;
      const values = {
        loss: update.loss,
        orderedShare: orderedShare(margins, chains.length, total),
        // Nats per denoising step and dimension, averaged over the items of this update.
        kl: kl.reduce((a, b) => a + b, 0) / kl.length,
        gradientNorm,
      };
      if (!Number.isFinite(values.loss) || !Number.isFinite(gradientNorm)) {
        throw new NorthlightError(
          'tune/diverged',
          `The loss is not a number at update ${state.step}.`,
          'Resume from the last checkpoint with a smaller learningRate or a larger beta.',
        );
      }
      log.append({ step: state.step, values });
      task.metrics(state.step, values);
      task.progress(`update ${state.step} of ${config.steps}`, state.step, config.steps);
      if (state.step % config.stripEvery === 0 || state.step === config.steps)
        await drawStrip(task, live, view, state.step);
      if (state.step % config.checkpointEvery === 0) save();
    }
    save();
    return await finish(task, base, state, targets, scale, modelHash);
  } finally {
    log.close();
    await session.release();
    await byRow?.release();
    await live.close();
    await base.close();
  }
}

/** The session of the training graph, on the provider that the run goes on. */
async function openStep(
  task: FinetuneTask<D3poConfig>,
  model: Model,
  options: SessionOptions,
  feeds: () => Promise<Record<string, Tensor>>,
): Promise<{ session: Session; provider: Provider }> {
  const bytes = encodeModel(model);
  const { threads } = task;
  const probe = async () => ({ bytes, feeds: await feeds(), training: true, threads });
  const provider = await trainingProvider(task, probe);
  return { session: await createSession(bytes, { ...options, provider }), provider };
}

/** Both trajectories of every pair, each file read once. @throws {NorthlightError} `tune/mixed` when settings differ. */
function loadChains(task: FinetuneTask<D3poConfig>): { winner: Chain; loser: Chain }[] {
  const known = new Map<string, Chain>();
  const load = (path: string): Chain => {
    let chain = known.get(path);
    if (!chain) {
      const { trajectory, origin } = readTrajectory(path);
      chain = { data: trajectory, origin };
      known.set(path, chain);
    }
    return chain;
  };
  const pairs = task.pairs.map((p) => ({ winner: load(p.winner.trajectoryPath), loser: load(p.loser.trajectoryPath) }));
  const first = pairs[0]!.winner;
  for (const { winner, loser } of pairs) {
    for (const c of [winner, loser]) {
      const same = (['guidanceScale', 'scheduler', 'eta'] as const).every((key) => c.origin[key] === first.origin[key]);
      const alike = same && (c.origin.clipSkip ?? 1) === (first.origin.clipSkip ?? 1);
      if (!alike || c.data.steps.length !== first.data.steps.length) {
        throw new NorthlightError(
          'tune/mixed',
          'The compared pictures were made with different steps, schedulers, eta, guidance or clip skip.',
          'Tune from sessions whose pictures share these settings.',
        );
      }
    }
  }
  return pairs;
}

/**
 * What the first picture's prompt is for the network; all others have the same shapes.
 * @throws {NorthlightError} `tune/prompt-lengths`
 */
async function commonInputs(
  base: ImagePipeline,
  denoiser: NetworkDenoiser,
  chains: readonly { winner: Chain; loser: Chain }[],
): Promise<ReturnType<NetworkDenoiser['inputs']>> {
  let first: ReturnType<NetworkDenoiser['inputs']> | undefined;
  for (const { origin } of chains.flatMap((c) => [c.winner, c.loser])) {
    const [condition] = await base.encode([origin.prompt], origin.negativePrompt);
    const inputs = denoiser.inputs(condition!);
    first ??= inputs;
    if (sameShapes(inputs.prompt, first.prompt)) continue;
    await base.close();
    throw new NorthlightError(
      'tune/prompt-lengths',
      `The prompt "${origin.prompt}" takes the text encoder another number of runs than the others, and one update cannot hold both.`,
      'Tune from sessions whose prompts are all short, or all of one length.',
    );
  }
  return first!;
}

/** Items of an update: consecutive places of a fresh shuffle per epoch, a pure function of (seed, step). */
export function pick(
  items: readonly unknown[],
  step: number,
  config: Pick<D3poConfig, 'itemsPerUpdate' | 'seed'>,
): number[] {
  const orders = new Map<number, number[]>();
  return Array.from({ length: config.itemsPerUpdate }, (_, k) => {
    const at = step * config.itemsPerUpdate + k;
    const epoch = Math.floor(at / items.length);
    let order = orders.get(epoch);
    if (!order) {
      order = new Rng(config.seed).fork('order', epoch).shuffle([...items.keys()]);
      orders.set(epoch, order);
    }
    return order[at % items.length]!;
  });
}

/** Factor on β of each step, mean 1. */
export function stepWeights(steps: readonly GaussianStep[], kind: D3poConfig['stepWeights']): number[] {
  const raw = steps.map((s) => (kind === 'uniform' ? 1 : s.std / Math.abs(s.output)));
  const mean = raw.reduce((a, b) => a + b, 0) / raw.length;
  return raw.map((w) => w / mean);
}

/** Feeds of the training graph for some items, winners first. */
function createFeeder(
  base: ImagePipeline,
  denoiser: NetworkDenoiser,
  chains: readonly { winner: Chain; loser: Chain }[],
  modelHash: string,
  weights: readonly number[],
): (items: readonly Item[]) => Promise<{ readonly feeds: Record<string, Tensor>; readonly rows: readonly Row[] }> {
  const { networkDims } = denoiser;
  const size = numel(networkDims);
  const plan = base.model.denoiser;
  const ports = new Map(plan.component.signature.inputs.map((p) => [p.name, p]));
  const timeType = portType(ports.get(plan.timestep)!.dtype);
  return async (items) => {
    const rows = [
      ...items.map((i) => ({ chain: chains[i.pair]!.winner, step: i.step })),
      ...items.map((i) => ({ chain: chains[i.pair]!.loser, step: i.step })),
    ];
    const picture = () => new Float32Array(rows.length * size);
    const [sample, prev, reference] = [picture(), picture(), picture()];
    const a: number[] = [];
    const b: number[] = [];
    const std: number[] = [];
    const timesteps: number[] = [];
    const conditions: PromptCondition[] = [];
    const made: Row[] = [];
    for (const [row, { chain, step }] of rows.entries()) {
      const { states, steps } = chain.data;
      const s = steps[step]!;
      const x = states.subarray(step * size, (step + 1) * size);
      const next = states.subarray((step + 1) * size, (step + 2) * size);
      sample.set(denoiser.arrange(x), row * size);
      prev.set(denoiser.arrange(next), row * size);
      a.push(s.sample);
      b.push(s.output);
      std.push(s.std);
      timesteps.push(s.timestep * plan.timestepScale);
      const [condition] = await base.encode([chain.origin.prompt], chain.origin.negativePrompt);
      conditions.push(condition!);
      const noise = new Float32Array(size);
      const byReference = chain.origin.adapterHash === null && chain.origin.modelHash === modelHash;
      made.push({ row, step: s, byReference });
      if (byReference) {
        // The base model made this step: what it added to its mean is the noise of the seed.
        new Rng(chain.origin.seed).fork('noise', chain.origin.index, step).fillNormal(noise);
      } else {
        const output = await denoiser.predict(x, s.timestep, [condition!]);
        for (let d = 0; d < size; d++) noise[d] = (next[d]! - (s.sample * x[d]! + s.output * output[d]!)) / s.std;
      }
      reference.set(denoiser.arrange(noise), row * size);
    }
    const column = (values: readonly number[]) => f32([rows.length, ...networkDims.map(() => 1)], values);
    const dims = [rows.length, ...networkDims];
    const feeds: Record<string, Tensor> = {
      sample: f32(dims, sample),
      prev: f32(dims, prev),
      reference: f32(dims, reference),
      timestep: toPort(timeType, f32([rows.length], timesteps)),
      a: column(a),
      b: column(b),
      std: column(std),
      weight: f32(
        [items.length],
        items.map((i) => weights[i.step]!),
      ),
    };
    const inputs = conditions.map((c) => denoiser.inputs(c));
    for (const { name, dtype } of networkPorts(base.model, inputs[0]!.prompt).conditions) {
      const port = { ...ports.get(name)!, dtype: portType(dtype) };
      feeds[`prompt/${name}`] = stackFor(
        port,
        inputs.map((i) => i.prompt.get(name)!),
      );
      if (inputs[0]!.negative && isBatched(port, inputs[0]!.prompt.get(name)!))
        feeds[`negative/${name}`] = stackFor(
          port,
          inputs.map((i) => i.negative!.get(name)!),
        );
    }
    return { feeds, rows: made };
  };
}

/** Share of pairs whose margins, summed over the steps seen so far, favour the winner; a pair not seen yet does not count. */
export function orderedShare(margins: Float32Array, pairs: number, steps: number): number {
  let seen = 0;
  let ordered = 0;
  for (let p = 0; p < pairs; p++) {
    let sum = 0;
    let any = false;
    for (let s = 0; s < steps; s++) {
      const m = margins[p * steps + s]!;
      if (Number.isNaN(m)) continue;
      any = true;
      sum += m;
    }
    if (!any) continue;
    seen++;
    if (sum > 0) ordered++;
  }
  return seen === 0 ? 0 : ordered / seen;
}

async function drawStrip(
  task: FinetuneTask<D3poConfig>,
  live: ImagePipeline,
  view: { readonly guidanceScale: number; readonly width: number; readonly height: number },
  step: number,
): Promise<void> {
  const { defaults } = live.model;
  // A model distilled for a few steps of its own sampler is shown as it is meant to be used.
  const own = defaults.steps < STRIP_STEPS || live.scheduler.prediction_type === 'flow_velocity';
  const pictures: { prompt: string; png: Buffer }[] = [];
  const stream = generatePictures({
    pipeline: live,
    settings: {
      scheduler: own ? undefined : 'ddim',
      steps: Math.min(STRIP_STEPS, defaults.steps),
      eta: 0,
      ...view,
      negativePrompt: '',
      seed: task.config.seed,
      keepTrajectories: false,
    },
    requests: task.stripPrompts.map((prompt, i) => ({ prompt, index: i, noiseIndex: i })),
  });
  for await (const p of stream) pictures.push({ prompt: p.prompt, png: p.png });
  task.strip(step, pictures);
}

function snapshot(state: AdamWState, margins: Float32Array, lossScale: LossScaleState): Map<string, Tensor> {
  const out = new Map<string, Tensor>([
    ['margins', f32([margins.length], margins)],
    ['loss_scale', lossScaleTensor(lossScale)],
  ]);
  for (const [name, p] of state.parameters) {
    out.set(`p/${name}`, p);
    out.set(`m/${name}`, f32(p.dims, state.m.get(name)!));
    out.set(`v/${name}`, f32(p.dims, state.v.get(name)!));
  }
  return out;
}

function restore(state: AdamWState, margins: Float32Array, tensors: ReadonlyMap<string, Tensor>, step: number): void {
  const copy = (into: Float32Array, key: string) => {
    const t = tensors.get(key);
    if (!t || t.data.length !== into.length)
      throw new NorthlightError(
        'run/mismatch',
        `The checkpoint has no fitting "${key}".`,
        'The settings of a run cannot change while it is under way: start a new run.',
      );
    into.set(t.data as Float32Array);
  };
  copy(margins, 'margins');
  for (const [name, p] of state.parameters) {
    copy(p.data, `p/${name}`);
    copy(state.m.get(name)!, `m/${name}`);
    copy(state.v.get(name)!, `v/${name}`);
  }
  state.step = step;
}

const chunksOf = (items: readonly number[], size: number): number[][] =>
  Array.from({ length: items.length / size }, (_, i) => items.slice(i * size, (i + 1) * size));

interface Update {
  /** Mean over the parts. */
  readonly loss: number;
  /** Sums over the parts. */
  readonly gradients: Record<string, Tensor>;
  /** Of each item, in order. */
  readonly margins: readonly number[];
  /** Of each row. */
  readonly kl: readonly number[];
}

/** Runs the training graph on each part of an update. */
async function summedUpdate(
  session: Session,
  names: readonly string[],
  parts: readonly (readonly number[])[],
  feedsOf: (items: readonly number[]) => Promise<Record<string, Tensor>>,
): Promise<Update> {
  const gradients: Record<string, Tensor> = {};
  const margins: number[] = [];
  const kl: number[] = [];
  let loss = 0;
  for (const part of parts) {
    const out = await session.run(await feedsOf(part));
    loss += (out.loss!.data as Float32Array)[0]! / parts.length;
    const logRatio = out.logRatio!.data as Float32Array;
    for (const k of part.keys()) margins.push(logRatio[k]! - logRatio[k + part.length]!);
    kl.push(...(out.kl!.data as Float32Array));
    for (const name of names) {
      const g = out[`grad/${name}`]!;
      const sum = gradients[name]?.data as Float32Array | undefined;
      if (!sum) gradients[name] = g;
      else for (let i = 0; i < sum.length; i++) sum[i]! += (g.data as Float32Array)[i]!;
    }
  }
  return { loss, gradients, margins, kl };
}

/** Writes the adapter, reads it back, and compares its effect with the live one. */
async function finish(
  task: FinetuneTask<D3poConfig>,
  base: ImagePipeline,
  state: AdamWState,
  targets: ReturnType<typeof findLoraTargets>,
  scale: { rank: number; alpha: number },
  modelHash: string,
): Promise<FinetuneResult> {
  const { config } = task;
  task.progress('writing the adapter', state.step, config.steps);
  const adapterPath = join(task.runDirectory, 'adapter.safetensors');
  writeLoraFile(adapterPath, {
    targets,
    config: { ...scale, targets: config.targets },
    parameters: state.parameters,
    metadata: new Map([
      ['method', 'd3po'],
      ['pairs', String(task.pairs.length)],
      ['updates', String(state.step)],
      ['base_model', base.folder.name],
      ['base_model_sha256', modelHash],
    ]),
  });
  const check = await verifyLora({
    modelPath: base.folder.unetPath,
    model: base.folder.unet,
    file: adapterPath,
    live: state.parameters,
    liveScale: scale,
    feeds: probeFeeds(base.folder),
    ...(task.threads ? { threads: task.threads } : {}),
  });
  return {
    adapterPath,
    hash: sha256File(adapterPath),
    rank: config.rank,
    steps: state.step,
    verifiedDifference: check.difference,
  };
}
