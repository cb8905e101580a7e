import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '#models/files.ts';
import type { Model } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { createTrainerState, trapezoid } from '#models/training/trainer.ts';
import { loadOrDraw } from '#pipelines/recipes/flora/data.ts';
import { type FlowerDataset, PICTURE_SIZE, renderDataset } from '#pipelines/recipes/flora/dataset.ts';
import { withWeights } from '#pipelines/recipes/flora/network.ts';
import { planRecipe } from '#pipelines/recipes/plan-recipe.ts';
import { trainRun } from '#pipelines/recipes/train-run.ts';
import type { RecipeIo, RecipeOptions } from '#pipelines/recipes/types.ts';
import { augment, grainBank } from './augment.ts';
import { modelCard } from './card.ts';
import { type Evaluation, evaluateJudge } from './evaluate.ts';
import { columnsOf, LAYOUT, writeOneHot } from './layout.ts';
import { buildJudge, JUDGE } from './network.ts';
import { buildJudgeTrainingGraph } from './training-graph.ts';

export const floraJudgeSchema = z.object({
  steps: z.int().min(1).default(3500).describe('updates'),
  batch: z.int().min(1).default(32).describe('pictures per update'),
  drawings: z.int().min(1).default(12000).describe('different training drawings'),
  heldOut: z.int().min(1).default(2000).describe('drawings of combinations never trained on, for the accuracy'),
  learningRate: z.number().positive().default(2e-3).describe('peak rate of AdamW'),
  warmup: z.int().min(0).default(50).describe('updates until the peak rate'),
  decay: z.int().min(1).default(1200).describe('updates over which the rate falls to zero at the end'),
  weightDecay: z.number().min(0).default(0.02).describe('decoupled weight decay'),
  emaDecay: z.number().min(0).max(1).default(0.995).describe('decay of the averaged weights'),
  checkpointEvery: z.int().min(1).default(100).describe('updates between checkpoints'),
});

/**
 * Trains the judge of flower pictures, measures it on drawings of combinations it was never shown, and writes it with its
 * `reward.json`, `evaluation.json` and card. Its drawings are its own: the seed is mixed with a label, so the same `--seed` gives
 * the flower model others. Stops between updates and goes on from the last checkpoint.
 */
export async function trainFloraJudge(
  options: RecipeOptions<z.output<typeof floraJudgeSchema>>,
  io: RecipeIo,
): Promise<{ directory: string; steps: number; loss: number; mean?: number; accuracy?: Record<string, number> }> {
  const s = options.set;
  const work = join(options.out, 'training');
  mkdirSync(work, { recursive: true });
  const seeds = new Rng(options.seed).fork('flora-judge');
  const data = await loadOrDraw(
    work,
    s.drawings,
    seeds.fork('drawings').word(),
    (done) => io.progress('drawing', done, s.drawings),
    io.signal,
  );
  const judge = buildJudge(JUDGE, options.seed);
  const { graph, session } = await planRecipe(work, options, s.steps, (memory) =>
    buildJudgeTrainingGraph(judge, s.batch, JUDGE.size, memory),
  );
  const state = createTrainerState(
    new Map(graph.parameters.map((n) => [n, judge.graph.initializers.get(n) as Tensor<'float32'>])),
  );
  const loss = await trainRun(
    {
      work,
      resume: options.resume,
      checkpointEvery: s.checkpointEvery,
      graph,
      session,
      state,
      steps: s.steps,
      batch: judgeBatch(data, s.batch, seeds.fork('batches')),
      learningRate: (step) => trapezoid(step, s.steps, s.learningRate, s.warmup, s.decay),
      adamw: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: s.weightDecay },
      maxGradientNorm: 2,
      emaDecay: s.emaDecay,
      ...(options.threads ? { threads: options.threads } : {}),
    },
    io,
  );
  const trained = withWeights(judge, state.ema);
  exportJudge(options.out, trained);
  const result = { directory: options.out, steps: state.step, loss };
  if (io.signal.aborted) return result;
  const evaluation = await evaluate(options.out, s.heldOut, seeds.fork('held-out').word(), io);
  const parameters = [...state.parameters.values()].reduce((n, p) => n + p.data.length, 0);
  writeFileAtomic(join(options.out, 'README.md'), modelCard(evaluation, commandOf(options), s.drawings, parameters));
  const accuracy = Object.fromEntries(evaluation.attributes.map((a) => [a.name, a.accuracy]));
  return { ...result, mean: evaluation.mean, accuracy };
}

/** Feeds of one training step, a pure function of the stream and the step: spoilt drawings and their one-hot labels. */
export function judgeBatch(data: FlowerDataset, batch: number, root: Rng): (step: number) => Record<string, Tensor> {
  const pixels = 3 * PICTURE_SIZE * PICTURE_SIZE;
  const columns = columnsOf(LAYOUT);
  const bank = grainBank(root.fork('grain'));
  return (step) => {
    const image = new Float32Array(batch * pixels);
    const target = new Float32Array(batch * columns);
    for (let b = 0; b < batch; b++) {
      const rng = root.fork(step, b);
      const i = rng.int(data.count);
      augment(data.pixels, i * pixels, rng, bank, image, b * pixels);
      writeOneHot(data.attributes[i]!, target, b * columns);
    }
    return {
      image: f32([batch, 3, PICTURE_SIZE, PICTURE_SIZE], image),
      target: f32([batch, columns], target),
    };
  };
}

/** The command line that makes the same model again; settings at their default are left out. */
function commandOf({ seed, threads, set }: RecipeOptions<z.output<typeof floraJudgeSchema>>): string {
  const defaults: Readonly<Record<string, number>> = floraJudgeSchema.parse({});
  const changed = Object.entries(set).filter(([key, value]) => value !== defaults[key]);
  return [
    'northlight train flora-judge --out DIR',
    `--seed ${seed}`,
    ...(threads ? [`--threads ${threads}`] : []),
    ...changed.map(([key, value]) => `--set ${key}=${value}`),
  ].join(' ');
}

async function evaluate(out: string, count: number, seed: number, io: RecipeIo): Promise<Evaluation> {
  const held = await renderDataset({
    count,
    seed,
    split: 'held-out',
    onProgress: (done) => io.progress('drawing for the accuracy', done, count),
    signal: io.signal,
  });
  const session = await createSession(join(out, 'model.onnx'));
  try {
    const evaluation = await evaluateJudge(session, held);
    writeJson(join(out, 'evaluation.json'), evaluation);
    return evaluation;
  } finally {
    await session.release();
  }
}

/** Writes `model.onnx` and the `reward.json` that says how its logits read. */
export function exportJudge(out: string, model: Model): void {
  mkdirSync(out, { recursive: true });
  writeModel(model, join(out, 'model.onnx'));
  writeJson(join(out, 'reward.json'), {
    name: 'flora-judge',
    licence: 'Apache-2.0',
    input: 'image',
    output: 'logits',
    size: JUDGE.size,
    range: [0, 1],
    layout: 'NCHW',
    attributes: Object.fromEntries(LAYOUT.map((a) => [a.name, a.values])),
  });
}

const writeJson = (path: string, value: unknown) => writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
