import { z } from 'zod';
import { guidedStep } from '#pipelines/engine/sequence-contract.ts';
import { SAMPLERS } from '#pipelines/schedulers/names.ts';
import { sampleScore, steeringPayload } from './steering-payload.ts';

/** What each kind of job is told. Paths are absolute. Everything here is enough to run the job again byte for byte. */

const sampling = {
  modelPath: z.string(),
  negativePrompt: z.string(),
  steps: z.number().int().min(1),
  scheduler: z.enum(SAMPLERS),
  eta: z.number().min(0).max(1),
  guidanceScale: z.number().min(0),
  seed: z.number().int(),
};

export const generatePayload = z.object({
  ...sampling,
  adapterPath: z.string().nullable(),
  prompts: z.array(z.string()),
  /** Pictures per prompt; picture `index` = prompt number · count + k. */
  count: z.number().int().min(1),
  keepTrajectories: z.boolean(),
  shareInitialNoise: z.boolean(),
  clipSkip: z.number().int().min(1).nullish(),
  width: z.number().int().min(1).nullish(),
  height: z.number().int().min(1).nullish(),
  steering: steeringPayload.nullish(),
  start: z.object({ picture: z.string(), mask: z.string().nullable(), strength: z.number() }).nullish(),
});
export type GeneratePayload = z.infer<typeof generatePayload>;

export const comparePayload = z.object({
  ...sampling,
  adapterAPath: z.string().nullable(),
  adapterBPath: z.string().nullable(),
  prompts: z.array(z.string()),
  perPrompt: z.number().int().min(1),
});
export type ComparePayload = z.infer<typeof comparePayload>;

const trajectorySample = z.object({ hash: z.string(), trajectoryPath: z.string(), prompt: z.string() });

export const tunePayload = z.object({
  runId: z.string(),
  /** `config.json`, `metrics.jsonl`, `checkpoints/`, `samples/`, `adapter.safetensors` live here. */
  runDirectory: z.string(),
  algorithm: z.string(),
  modelPath: z.string(),
  config: z.record(z.string(), z.unknown()),
  /** Winner and loser of each decided vote, same prompt. */
  pairs: z.array(z.object({ winner: trajectorySample, loser: trajectorySample })),
  stripPrompts: z.array(z.string()),
  /** What the training graph runs on; `auto` chooses by measurement when the run starts. Absent: the CPU. */
  provider: z.enum(['auto', 'cpu', 'webgpu', 'cuda', 'dml', 'coreml']).optional(),
});
export type TunePayload = z.infer<typeof tunePayload>;

export const estimatePayload = z.object({
  algorithm: z.string(),
  modelPath: z.string(),
  config: z.record(z.string(), z.unknown()),
  /** Of any of the compared pictures. */
  trajectoryPath: z.string(),
  stripPrompts: z.number().int(),
  provider: z.enum(['auto', 'cpu', 'webgpu', 'cuda', 'dml', 'coreml']).optional(),
});
export type EstimatePayload = z.infer<typeof estimatePayload>;

export const verifyPayload = z.object({ modelPath: z.string(), adapterPath: z.string() });
export type VerifyPayload = z.infer<typeof verifyPayload>;

/** `list` is a file with one {@link scoreItem} per line: ten thousand of them would be too much for the job's own row. */
export const scorePayload = z.object({ reward: z.string(), list: z.string() });
export type ScorePayload = z.infer<typeof scorePayload>;
export const scoreItem = z.union([
  z.object({ seq: z.number().int(), letters: z.string() }),
  z.object({ seq: z.number().int(), hash: z.string(), prompt: z.string() }),
]);

/** `stamp` is of the files that the result is true of. */
export const dryStepPayload = z.object({ modelPath: z.string(), stamp: z.string() });
export type DryStepPayload = z.infer<typeof dryStepPayload>;

export const reproducePayload = z.object({
  picturePath: z.string(),
  modelPath: z.string(),
  /** Adapters of the project; the picture names those it needs by hash. */
  adapters: z.array(z.object({ hash: z.string(), path: z.string() })),
});
export type ReproducePayload = z.infer<typeof reproducePayload>;

/**
 * Events of jobs (`JobContext.event(topic, data)`). A picture is at `<project>/samples/<hash>.png` (content address of the
 * file) and its trajectory, when kept, at `<project>/trajectories/<hash>.safetensors`, before it is announced. A resumed
 * job announces its finished pictures again; announcing twice is harmless.
 */
export const jobEvents = {
  sampleFile: z.object({
    hash: z.string(),
    prompt: z.string(),
    /** Position in the job, and the (seed, index) that the noise is a function of. */
    position: z.number().int(),
    seed: z.number().int(),
    index: z.number().int(),
    width: z.number().int(),
    height: z.number().int(),
    trajectory: z.boolean(),
    /** Blind comparisons: which adapter made it. */
    side: z.enum(['A', 'B']).nullable(),
    /** What the rewards that steered it said of it. */
    scores: z.array(sampleScore).default([]),
  }),
  previewFile: z.object({
    hash: z.string(),
    prompt: z.string(),
    index: z.number().int(),
    step: z.number().int(),
    total: z.number().int(),
  }),
  /** What competed for a sample after a step of steering. */
  steered: z.object({
    reward: z.string(),
    prompt: z.string(),
    index: z.number().int(),
    total: z.number().int(),
    ...guidedStep.shape,
  }),
  scores: z.object({
    reward: z.string(),
    values: z.array(z.tuple([z.number().int(), z.number()])),
    /** Absent: of pictures. */
    of: z.enum(['pictures', 'sequences']).optional(),
  }),
  /** What a run will take; the whole of it is in `plan.json`. */
  planned: z.object({
    peakBytes: z.number(),
    budgetBytes: z.number(),
    secondsPerUpdate: z.number(),
    totalSeconds: z.number(),
    parts: z.number().int(),
    memory: z.object({ kind: z.enum(['flat', 'checkpoint']) }),
  }),
  metrics: z.object({ step: z.number().int(), values: z.record(z.string(), z.number()) }),
  strip: z.object({ step: z.number().int(), pictures: z.array(z.object({ prompt: z.string(), hash: z.string() })) }),
} as const;

/** Result of a tune job; `adapterPath` is inside the run directory. */
export const tuneResult = z.object({
  adapterPath: z.string(),
  hash: z.string(),
  rank: z.number().int(),
  steps: z.number().int(),
  /** Largest absolute difference between the written file, re-read and applied, and the live adapter. */
  verifiedDifference: z.number(),
});
export type TuneResult = z.infer<typeof tuneResult>;

export const verifyResult = z.object({ difference: z.number(), effect: z.number() });
