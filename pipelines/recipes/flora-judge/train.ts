import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic, writeJsonAtomic } from '#models/files.ts';
import type { Model } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { commandOf } from '#pipelines/recipes/command.ts';
import { loadOrDraw } from '#pipelines/recipes/flora/data.ts';
import { type FlowerDataset, PICTURE_SIZE, renderDataset } from '#pipelines/recipes/flora/dataset.ts';
import { trainRun, workFolder } from '#pipelines/recipes/train-run.ts';
import type { RecipeIo, RecipeOptions } from '#pipelines/recipes/types.ts';
import { weightsOf, withWeights } from '#pipelines/recipes/weights.ts';
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
  const seeds = new Rng(options.seed).fork('flora-judge');
  const data = await loadOrDraw(
    workFolder(options.out),
    s.drawings,
    seeds.fork('drawings').word(),
    (done) => io.progress('drawing', done, s.drawings),
    io.signal,
  );
  const judge = buildJudge(JUDGE, options.seed);
  const { state, loss } = await trainRun(
    options,
    {
      build: (memory) => buildJudgeTrainingGraph(judge, s.batch, JUDGE.size, memory),
      initial: weightsOf(judge),
      batch: judgeBatch(data, s.batch, seeds.fork('batches')),
      weightDecay: s.weightDecay,
      maxGradientNorm: 2,
    },
    io,
  );
  const trained = withWeights(judge, state.ema);
  exportJudge(options.out, trained);
  const result = { directory: options.out, steps: state.step, loss };
  if (io.signal.aborted) return result;
  const evaluation = await evaluate(options.out, s.heldOut, seeds.fork('held-out').word(), io);
  const parameters = [...state.parameters.values()].reduce((n, p) => n + p.data.length, 0);
  const command = commandOf('flora-judge', options, floraJudgeSchema.parse({}));
  writeFileAtomic(join(options.out, 'README.md'), modelCard(evaluation, command, s.drawings, parameters));
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
    writeJsonAtomic(join(out, 'evaluation.json'), evaluation);
    return evaluation;
  } finally {
    await session.release();
  }
}

/** Writes `model.onnx` and the `reward.json` that says how its logits read. */
export function exportJudge(out: string, model: Model): void {
  mkdirSync(out, { recursive: true });
  writeModel(model, join(out, 'model.onnx'));
  writeJsonAtomic(join(out, 'reward.json'), {
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
