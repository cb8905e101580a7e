import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { findFolder } from '#models/families/find-folder.ts';
import { openMaskedSequence } from '#models/families/masked-sequence.ts';
import { writeFileAtomic, writeJsonAtomic } from '#models/files.ts';
import type { Model } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import { Rng } from '#models/tensor/rng.ts';
import { commandOf } from '#pipelines/recipes/command.ts';
import { trainRun } from '#pipelines/recipes/train-run.ts';
import type { RecipeIo, RecipeOptions } from '#pipelines/recipes/types.ts';
import { weightsOf, withWeights } from '#pipelines/recipes/weights.ts';
import { loadMaskedPipeline } from '#pipelines/sampling/masked-pipeline.ts';
import { BASES } from '#pipelines/sequences/nucleotides.ts';
import { enhancerBatches } from './batches.ts';
import { denoiserCard } from './card.ts';
import { ENHANCER_LENGTH } from './enhancers.ts';
import { type Evaluation, evaluateDenoiser } from './evaluate.ts';
import { EPS } from './masking.ts';
import { CELLS } from './motifs.ts';
import { buildDenoiser, DENOISER, type DenoiserConfig, MASK_ID, NULL_CLASS } from './network.ts';
import { buildDenoiserTrainingGraph } from './training-graph.ts';

export const enhancerDnaSchema = z.object({
  steps: z.int().min(1).default(20000).describe('updates'),
  batch: z.int().min(1).default(32).describe('sequences per update'),
  learningRate: z.number().positive().default(2e-3).describe('peak rate of AdamW'),
  warmup: z.int().min(0).default(200).describe('updates until the peak rate'),
  decay: z.int().min(1).default(6000).describe('updates over which the rate falls to zero at the end'),
  weightDecay: z.number().min(0).default(0.01).describe('decoupled weight decay'),
  dropout: z.number().min(0).max(1).default(0.1).describe('share of sequences without their cell line, for guidance'),
  emaDecay: z.number().min(0).max(1).default(0.999).describe('decay of the averaged weights'),
  checkpointEvery: z.int().min(1).default(100).describe('updates between checkpoints'),
  samples: z.int().min(2).default(640).describe('samples of each cell line for the evaluation'),
  reference: z.int().min(2).default(100000).describe('sequences of each cell line that samples are compared with'),
  likelihoods: z.int().min(1).default(64).describe('sequences whose likelihood is approximated'),
  oracle: z.string().default('').describe('model.onnx of the evaluating oracle; without one its column stays empty'),
});
export type EnhancerDnaSettings = z.output<typeof enhancerDnaSchema>;

/**
 * Trains the model of enhancers, measures it and writes it as a model folder with its evaluation and card. Stops between updates
 * and goes on from the last checkpoint.
 */
export async function trainEnhancerDna(
  options: RecipeOptions<EnhancerDnaSettings>,
  io: RecipeIo,
  config: DenoiserConfig = DENOISER,
): Promise<{ directory: string; steps: number; loss: number; activity?: Record<string, number> }> {
  const s = options.set;
  const denoiser = buildDenoiser(config, options.seed);
  const { state, loss } = await trainRun(
    options,
    {
      build: (memory) => buildDenoiserTrainingGraph(denoiser, s.batch, config.length, memory),
      initial: weightsOf(denoiser),
      batch: enhancerBatches({ batch: s.batch, seed: options.seed, dropout: s.dropout }),
      weightDecay: s.weightDecay,
      maxGradientNorm: 1,
    },
    io,
  );
  exportDenoiser(options.out, withWeights(denoiser, state.ema));
  const result = { directory: options.out, steps: state.step, loss };
  if (io.signal.aborted) return result;
  const evaluation = await evaluate(options, io);
  const parameters = [...state.parameters.values()].reduce((n, p) => n + p.data.length, 0);
  // Where the oracle lies differs from machine to machine.
  const set = { ...s, oracle: s.oracle === '' ? '' : 'ORACLE' };
  const command = commandOf('enhancer-dna', { ...options, set }, enhancerDnaSchema.parse({}));
  writeFileAtomic(join(options.out, 'README.md'), denoiserCard(evaluation, command, s.steps * s.batch, parameters));
  return { ...result, activity: Object.fromEntries(evaluation.cells.map((c) => [c.cell, c.activity])) };
}

async function evaluate(options: RecipeOptions<EnhancerDnaSettings>, io: RecipeIo): Promise<Evaluation> {
  const { samples, reference, likelihoods, oracle } = options.set;
  const pipeline = await loadMaskedPipeline(openMaskedSequence(findFolder(options.out)), {
    ...(options.threads ? { threads: options.threads } : {}),
  });
  try {
    const evaluation = await evaluateDenoiser(
      pipeline,
      { samples, reference, likelihoods, oracle: oracle === '' ? null : oracle, seed: new Rng(options.seed).word() },
      io,
    );
    writeJsonAtomic(join(options.out, 'evaluation.json'), evaluation);
    return evaluation;
  } finally {
    await pipeline.close();
  }
}

/** Writes a model folder that the family of masked sequence models reads. */
export function exportDenoiser(out: string, model: Model): void {
  const json = (path: string, value: object) => writeJsonAtomic(join(out, path), value);
  for (const folder of ['denoiser', 'scheduler']) mkdirSync(join(out, folder), { recursive: true });
  writeModel(model, join(out, 'denoiser', 'model.onnx'));
  json('denoiser/config.json', {
    kind: 'dna',
    alphabet: BASES,
    mask_token_id: MASK_ID,
    length: ENHANCER_LENGTH,
    classes: CELLS,
    null_class_id: NULL_CLASS,
  });
  json('scheduler/scheduler_config.json', {
    _class_name: 'MaskedScheduler',
    noise_schedule: 'loglinear',
    eps: EPS,
    num_inference_steps: 128,
  });
  json('model_index.json', {
    _class_name: 'MaskedDiffusionPipeline',
    denoiser: ['northlight', 'OnnxModel'],
    scheduler: ['northlight', 'MaskedScheduler'],
  });
  json('northlight.json', {
    name: 'Enhancer DNA',
    description:
      'Masked diffusion of 200 letters of synthetic enhancer DNA for the cell lines HepG2, K562 and SK-N-SH. A made-up grammar to try steering on, not biology.',
  });
}
