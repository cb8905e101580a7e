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
import { trainRun } from '#pipelines/recipes/train-run.ts';
import type { RecipeIo, RecipeOptions } from '#pipelines/recipes/types.ts';
import { weightsOf, withWeights } from '#pipelines/recipes/weights.ts';
import { BASES } from '#pipelines/sequences/nucleotides.ts';
import { type Assay, drawAssay, writeOneHot } from './assay.ts';
import { ENHANCER_LENGTH } from './enhancers.ts';
import { CELLS } from './motifs.ts';
import { oracleCard } from './oracle-card.ts';
import { evaluateOracle, type OracleEvaluation } from './oracle-evaluate.ts';
import { buildOracle, ORACLE } from './oracle-network.ts';
import { buildOracleTrainingGraph } from './oracle-training-graph.ts';

export const enhancerOracleSchema = z.object({
  half: z
    .enum(['a', 'b'])
    .default('a')
    .describe('half of the assay it is trained on; a is to optimise, b only to evaluate'),
  sequences: z.int().min(1).default(20000).describe('measured sequences of each half'),
  heldOut: z.int().min(3).default(4000).describe('sequences of neither half, for the correlations'),
  steps: z.int().min(1).default(6000).describe('updates'),
  batch: z.int().min(1).default(32).describe('sequences per update'),
  learningRate: z.number().positive().default(4e-3).describe('peak rate of AdamW'),
  warmup: z.int().min(0).default(100).describe('updates until the peak rate'),
  decay: z.int().min(1).default(2500).describe('updates over which the rate falls to zero at the end'),
  weightDecay: z.number().min(0).default(0.02).describe('decoupled weight decay'),
  emaDecay: z.number().min(0).max(1).default(0.995).describe('decay of the averaged weights'),
  checkpointEvery: z.int().min(1).default(50).describe('updates between checkpoints'),
});
export type EnhancerOracleSettings = z.output<typeof enhancerOracleSchema>;

/**
 * Trains an oracle of enhancer activity on one half of the simulated assay of `seed`, measures it on sequences of neither half, and
 * writes it with its `reward.json`, `evaluation.json` and card. The same seed gives both oracles the same assay, and other
 * first weights and another order. Stops between updates and goes on from the last checkpoint.
 */
export async function trainEnhancerOracle(
  options: RecipeOptions<EnhancerOracleSettings>,
  io: RecipeIo,
): Promise<{ directory: string; steps: number; loss: number; pearson?: Record<string, number> }> {
  const s = options.set;
  const seeds = new Rng(options.seed).fork('enhancer-oracle', s.half);
  const assayOf = (part: 'a' | 'b' | 'held-out', count: number, stage: string) =>
    drawAssay({
      part,
      count,
      half: s.sequences,
      seed: options.seed,
      onProgress: (done) => io.progress(stage, done, count),
      signal: io.signal,
    });
  const assay = assayOf(s.half, s.sequences, 'measuring');
  const oracle = buildOracle(ORACLE, seeds.fork('weights').word());
  const { state, loss } = await trainRun(
    options,
    {
      build: (memory) => buildOracleTrainingGraph(oracle, s.batch, ORACLE.length, memory),
      initial: weightsOf(oracle),
      batch: assayBatches(assay, s.batch, seeds.fork('batches')),
      weightDecay: s.weightDecay,
      maxGradientNorm: 2,
    },
    io,
  );
  exportOracle(options.out, withWeights(oracle, state.ema), s.half);
  const result = { directory: options.out, steps: state.step, loss };
  if (io.signal.aborted) return result;
  const evaluation = await evaluate(options.out, assayOf('held-out', s.heldOut, 'measuring for the correlations'));
  const command = commandOf('enhancer-oracle', options, enhancerOracleSchema.parse({}));
  writeFileAtomic(join(options.out, 'README.md'), oracleCard(evaluation, command, s));
  return { ...result, pearson: Object.fromEntries(evaluation.cells.map((c) => [c.cell, c.pearson])) };
}

/** Feeds of one training step, a pure function of the stream and the step: sequences of the assay and what was measured. */
export function assayBatches(assay: Assay, batch: number, root: Rng): (step: number) => Record<string, Tensor> {
  const size = ENHANCER_LENGTH * BASES.length;
  return (step) => {
    const rng = root.fork(step);
    const sequence = new Float32Array(batch * size);
    const target = new Float32Array(batch * CELLS.length);
    for (let b = 0; b < batch; b++) {
      const i = rng.int(assay.count);
      writeOneHot(assay.tokens, i, sequence, b * size);
      target.set(assay.measured.subarray(i * CELLS.length, (i + 1) * CELLS.length), b * CELLS.length);
    }
    return {
      sequence: f32([batch, ENHANCER_LENGTH, BASES.length], sequence),
      target: f32([batch, CELLS.length], target),
    };
  };
}

async function evaluate(out: string, heldOut: Assay): Promise<OracleEvaluation> {
  const session = await createSession(join(out, 'model.onnx'));
  try {
    const evaluation = await evaluateOracle(session, heldOut);
    writeJsonAtomic(join(out, 'evaluation.json'), evaluation);
    return evaluation;
  } finally {
    await session.release();
  }
}

/** Writes `model.onnx` and the `reward.json` that says which of its outputs counts. */
export function exportOracle(out: string, model: Model, half: string): void {
  mkdirSync(out, { recursive: true });
  writeModel(model, join(out, 'model.onnx'));
  writeJsonAtomic(join(out, 'reward.json'), {
    name: `enhancer-oracle-${half}`,
    licence: 'Apache-2.0',
    input: 'sequence',
    output: 'activity',
    outputIndex: 0,
    outputs: CELLS,
    alphabet: BASES,
    higherIsBetter: true,
  });
}
