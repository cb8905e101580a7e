import { z } from 'zod';
import { COMBINATIONS } from '#pipelines/rewards/combine.ts';
import { SAMPLERS, type SamplerName } from '#pipelines/schedulers/names.ts';
import { type BankPreview, type BankView, bankView, type PlainValues, plainValues } from './bank-contract.ts';
import { doctorReport, type ModelDoctorReport } from './doctor-schema.ts';
import { made, madeWith, seed } from './made-contract.ts';
import {
  type GuidedPlace,
  type GuidedRecord,
  type GuidedStep,
  guidedRecord,
  guidedStep,
  manySequences,
  type Sequence,
  type SequenceTracks,
  sequence,
  sequencePage,
  sequenceSampling,
  sequencesInput,
  sequenceTracks,
} from './sequence-contract.ts';
import { type ValueNetworkView, type ValueView, valueView } from './value-contract.ts';

export type {
  BankPreview,
  BankView,
  GuidedPlace,
  GuidedRecord,
  GuidedStep,
  ModelDoctorReport,
  PlainValues,
  SamplerName,
  Sequence,
  SequenceTracks,
  ValueNetworkView,
  ValueView,
};

/**
 * Everything a window can ask of the engine, and everything the engine tells a window. One file, imported by both sides:
 * inputs are parsed on the engine side; errors travel as `{ code, message, hint }`; pictures travel by URL (`/blob/<sha256>`).
 */

export const jobKind = z.enum([
  'generate',
  'tune',
  'compare',
  'verify',
  'score',
  'reproduce',
  'bank',
  'values',
  'dry-step',
]);
export const jobState = z.enum(['queued', 'running', 'paused', 'done', 'failed', 'cancelled', 'set-aside']);

const plainError = z.object({ code: z.string(), message: z.string(), hint: z.string() });

/** Progress of a job. `etaSeconds` is null until a rate is known. */
export const job = z.object({
  id: z.string(),
  kind: jobKind,
  title: z.string(),
  state: jobState,
  /** What it is doing now, in words ("step 12 of 30"). */
  stage: z.string(),
  done: z.number(),
  total: z.number(),
  etaSeconds: z.number().nullable(),
  createdAt: z.string(),
  /** A job that crashed twice in a row is set aside; one crash leaves it paused. */
  crashes: z.number().int(),
  error: plainError.nullable(),
  /** Jobs that generate: what. */
  makes: z.enum(['pictures', 'sequences']),
  /** The model it works with; empty for none. */
  modelId: z.string(),
  /** What it made or works on: run, session. */
  runId: z.string().nullable(),
  sessionId: z.string().nullable(),
});
export type Job = z.infer<typeof job>;

/** A picture of this project to start from and its mask, by hash, and how much of it may change. */
const startedFrom = z.object({ picture: z.string(), mask: z.string().nullable(), strength: z.number() });

export const sample = made.extend({
  prompt: z.string(),
  negativePrompt: z.string(),
  width: z.number().int(),
  height: z.number().int(),
  hasTrajectory: z.boolean(),
  /** Null: made from noise alone. */
  start: startedFrom.nullable(),
  /** Layer of the text encoder that its prompt was read from, counted from the one that the model reads: 1. */
  clipSkip: z.number().int(),
  starred: z.boolean(),
  tags: z.array(z.string()),
});
export type Sample = z.infer<typeof sample>;

/** What one small step through a whole model showed on this machine. */
export const dryStepReport = z.discriminatedUnion('ran', [
  z.object({
    ran: z.literal(true),
    /** Opening all its networks. */
    loadSeconds: z.number(),
    /** Reading a prompt, one call of the denoiser, and decoding. */
    seconds: z.number(),
    /** False: there were values that are no numbers. */
    finite: z.boolean(),
    /** Pixels of what was made. */
    width: z.number().int(),
    height: z.number().int(),
  }),
  z.object({ ran: z.literal(false), error: plainError }),
]);
export type DryStepReport = z.infer<typeof dryStepReport>;

export const model = z.object({
  id: z.string(),
  name: z.string(),
  family: z.string(),
  bundled: z.boolean(),
  path: z.string(),
  /** Its files lie in the project's own `models` folder. */
  copied: z.boolean(),
  /** Empty while it is being worked out. */
  hash: z.string(),
  parameters: z.number().int(),
  sizeBytes: z.number().int(),
  width: z.number().int(),
  height: z.number().int(),
  predictionType: z.string(),
  /** How pictures are made with it; null where none can be. */
  sampling: z
    .object({
      /** What its pictures look right with. */
      defaults: z.object({
        steps: z.number().int(),
        guidanceScale: z.number(),
        scheduler: z.enum(SAMPLERS),
        eta: z.number(),
      }),
      /** Those that can draw with it. */
      samplers: z.array(z.enum(SAMPLERS)),
      /** How guidance is done: only `classifier-free`, and `distilled` above scale 1, reads a negative prompt. */
      guidance: z.enum(['classifier-free', 'distilled', 'embedded', 'none']),
      /** Whether pictures may have another size than `width` × `height`, and what both sides are multiples of. */
      freeSize: z.boolean(),
      sizeMultiple: z.number().int(),
      /** Whether it can start from a picture. */
      startsFromPictures: z.boolean(),
      /** The largest clip skip; 1: its text encoders give no earlier layers. */
      clipSkips: z.number().int(),
    })
    .nullable(),
  /** How sequences are made with it; null where none can be. */
  sequence: sequenceSampling.nullable(),
  usable: z.boolean(),
  /** Null: not tried yet. */
  dryStep: dryStepReport.nullable(),
  /** What is wrong or missing, each with its fix. Empty when usable. */
  problems: z.array(z.object({ message: z.string(), hint: z.string() })),
  description: z.string(),
  examplePrompts: z.array(z.string()),
});
export type Model = z.infer<typeof model>;

/** How much of a prompt a model reads. */
export const tokenCount = z.object({
  /** Tokens of words that are read. */
  tokens: z.number().int(),
  /** Tokens that one chunk has room for. */
  room: z.number().int(),
  chunks: z.number().int(),
  /** The end of the prompt for which there is no room; empty when all is read. */
  unread: z.string(),
});
export type TokenCount = z.infer<typeof tokenCount>;

export const adapter = z.object({
  id: z.string(),
  name: z.string(),
  modelId: z.string(),
  runId: z.string().nullable(),
  hash: z.string(),
  path: z.string(),
  rank: z.number().int(),
  createdAt: z.string(),
  /** Largest difference between the file applied and the live adapter, null until verified. */
  verifiedDifference: z.number().nullable(),
});
export type Adapter = z.infer<typeof adapter>;

/** A ranking session over generated samples, or a blind comparison of two adapters (null = the base model). */
export const session = z.object({
  id: z.string(),
  kind: z.enum(['rank', 'blind']),
  mode: z.enum(['pair', 'best-of-n']),
  name: z.string(),
  createdAt: z.string(),
  votes: z.number().int(),
  samples: z.number().int(),
  prompts: z.number().int(),
  modelId: z.string(),
  /** Blind sessions only. */
  adapterA: z.string().nullable(),
  adapterB: z.string().nullable(),
  /** Trials still unanswered in a blind session; null for rank (open ended). */
  remaining: z.number().int().nullable(),
});
export type Session = z.infer<typeof session>;

export const outcome = z.enum(['left', 'right', 'tie', 'both-bad', 'skip']);

/** One question. `slots` is the order shown, left to right. Blind questions say nothing of their origin. */
export const question = z.object({
  trialId: z.string(),
  sessionId: z.string(),
  prompt: z.string(),
  mode: z.enum(['pair', 'best-of-n']),
  slots: z.array(z.object({ sampleId: z.string(), hash: z.string() })),
  /** 1-based number of this question, and how many there are (null when open ended). */
  number: z.number().int(),
  total: z.number().int().nullable(),
  /** True once the votes are enough to tune from, by held-out accuracy of the fitted scores. */
  enough: z.boolean(),
});
export type Question = z.infer<typeof question>;

export const standing = z.object({
  sampleId: z.string(),
  hash: z.string(),
  prompt: z.string(),
  /** Bradley–Terry utility (log-odds scale, mean zero) and its posterior standard deviation. */
  utility: z.number(),
  sd: z.number(),
  comparisons: z.number().int(),
});

export const comparisonResult = z.object({
  sessionId: z.string(),
  answered: z.number().int(),
  total: z.number().int(),
  winsA: z.number().int(),
  winsB: z.number().int(),
  ties: z.number().int(),
  /** (wins of B + ties/2) / answered, with a 95 % Wilson interval; null before the first answer. */
  winRateB: z.number().nullable(),
  interval: z.tuple([z.number(), z.number()]).nullable(),
  labelA: z.string(),
  labelB: z.string(),
  perPrompt: z.array(z.object({ prompt: z.string(), winsA: z.number(), winsB: z.number(), ties: z.number() })),
});
export type ComparisonResult = z.infer<typeof comparisonResult>;

export const metricPoint = z.object({ step: z.number().int(), values: z.record(z.string(), z.number()) });

export const run = z.object({
  id: z.string(),
  jobId: z.string(),
  algorithm: z.string(),
  modelId: z.string(),
  name: z.string(),
  state: jobState,
  step: z.number().int(),
  totalSteps: z.number().int(),
  directory: z.string(),
  createdAt: z.string(),
  config: z.record(z.string(), z.unknown()),
  adapterId: z.string().nullable(),
});
export type Run = z.infer<typeof run>;

/** What a run takes, estimated before it starts. */
export const tunePlan = z.object({
  /** Most memory of its process, and what that might have been. */
  peakBytes: z.number(),
  budgetBytes: z.number(),
  secondsPerUpdate: z.number(),
  /** Sample pictures included. */
  totalSeconds: z.number(),
  /** Runs of the network per update, where it was cut to fit. */
  parts: z.number().int(),
  /** Whether activations are computed again to save memory. */
  checkpoints: z.boolean(),
});
export type TunePlan = z.infer<typeof tunePlan>;

/** Fixed-seed pictures of a run: one row per prompt, one column per saved step. */
export const stripFrame = z.object({
  step: z.number().int(),
  pictures: z.array(z.object({ prompt: z.string(), hash: z.string() })),
});

/** One field of an algorithm's settings, derived from its zod schema, for a generated form. */
export const field = z.object({
  key: z.string(),
  type: z.enum(['integer', 'number', 'boolean', 'string', 'choice']),
  default: z.union([z.number(), z.string(), z.boolean(), z.null()]),
  minimum: z.number().nullable(),
  maximum: z.number().nullable(),
  choices: z.array(z.string()),
  /** What it does, its unit and its source. */
  description: z.string(),
});
export type Field = z.infer<typeof field>;

/** What samples follow. */
const followed = z.object({
  /** A negative weight turns a reward around. One reward alone, of weight 1, is followed as it is. */
  rewards: z
    .array(z.object({ reward: z.string().min(1), weight: z.number() }))
    .min(1)
    .max(12),
  /** How several become one. */
  combine: z.enum(COMBINATIONS).default('sum'),
  /** The quantile of plain samples beyond which a reward gives no more credit; null: none. */
  cap: z.number().gt(0).lt(1).nullable().default(null),
});
export type Followed = z.infer<typeof followed>;

const steering = followed.extend({
  /** One of `generate.steering`. */
  decoder: z.string(),
  /** Of the decoder; an absent one has its default. */
  options: z.record(z.string(), z.union([z.number(), z.string(), z.boolean(), z.null()])).default({}),
});

export const generateInput = madeWith.extend({
  /** One prompt per line of the form; `count` pictures each. */
  prompts: z.array(z.string()).min(1).max(1000),
  negativePrompt: z.string().default(''),
  count: z.number().int().min(1).max(512).default(4),
  steps: z.number().int().min(1).max(1000).default(30),
  scheduler: z.enum(SAMPLERS).default('ddim'),
  eta: z.number().min(0).max(1).default(1),
  guidanceScale: z.number().min(0).max(30).default(3),
  /** Layer of CLIP text encoders to read, counted back from the one that the model reads: 1. */
  clipSkip: z.number().int().min(1).max(64).default(1),
  seed,
  /** Keep what tuning needs (every state and its log-probability). Needs eta > 0. */
  keepTrajectories: z.boolean().default(true),
  /** All pictures of one prompt start from the same noise (as D3PO's pairs do). */
  shareInitialNoise: z.boolean().default(false),
  /** A picture of this project to start from (sample id or hash); null: noise alone. */
  initImage: z.string().nullable().default(null),
  /** How much of it may change: 0 nothing, 1 everything. */
  strength: z.number().min(0).max(1).default(0.6),
  /** A picture of this project, white where `initImage` shall change; null: everywhere. */
  mask: z.string().nullable().default(null),
  /** Pixels; null: the model's usual size. */
  width: z.number().int().min(1).max(16_384).nullable().default(null),
  height: z.number().int().min(1).max(16_384).nullable().default(null),
  /** Rewards that pictures follow while they are made, and how; null: none. */
  steering: steering.nullable().default(null),
});
export type SteeringInput = z.infer<typeof steering>;

/** What decides the plain samples of a bank; see `pipelines/bank/key.ts`. */
const bankOf = z.discriminatedUnion('makes', [
  generateInput
    .pick({ modelId: true, adapterId: true, prompts: true, negativePrompt: true, steps: true, scheduler: true })
    .extend(generateInput.pick({ eta: true, guidanceScale: true, clipSkip: true, width: true, height: true }).shape)
    .extend({ makes: z.literal('pictures') }),
  sequencesInput.omit({ count: true, seed: true }).extend({ makes: z.literal('sequences') }),
]);

/** What the work of a batch comes to, before it starts. */
export const generateEstimate = z.object({
  /** Runs of the denoiser without steering; guidance is not counted. */
  plainCalls: z.number().int(),
  /** With steering: runs of the denoiser, and pictures, finished or guessed, that the reward looks at. Null: nobody knows. */
  steered: z.object({ denoiserCalls: z.number().int(), rewardCalls: z.number().int() }).nullable(),
});
export type GenerateEstimate = z.infer<typeof generateEstimate>;

/** Orders of the gallery; the last two go by the scores of a reward and hold only what it has scored. */
export const sampleOrder = z.enum(['newest', 'oldest', 'seed', 'best', 'worst']);
export type SampleOrder = z.infer<typeof sampleOrder>;

const findInput = z.object({
  /** In the language of the search box. */
  query: z.string().max(2000).default(''),
  order: sampleOrder.default('newest'),
  reward: z.string().optional(),
  limit: z.number().int().min(1).max(20_000).default(20_000),
  after: z.array(z.number()).max(2).optional(),
});

const foundSamples = z.object({
  seqs: z.array(z.number().int()),
  next: z.array(z.number()).nullable(),
  total: z.number().int().nullable(),
  /** Filters of the query, each with its place in the text. */
  terms: z.array(z.object({ label: z.string(), from: z.number().int(), to: z.number().int() })),
  /** What was not understood, with its place in the text. */
  problems: z.array(z.object({ message: z.string(), hint: z.string(), from: z.number().int(), to: z.number().int() })),
});
export type FoundSamples = z.infer<typeof foundSamples>;

/** Pictures by `seq`. */
const manySamples = z.object({ seqs: z.array(z.number().int()).min(1).max(100_000) });

/** What a picture's file says of how it was made, as far as the Generate form can take it over. */
export const recalled = z.object({
  source: z.enum(['northlight', 'a1111', 'comfyui', 'invokeai', 'swarmui', 'draw-things']),
  /** Everything that was read, in words, for the eye. */
  facts: z.array(z.object({ name: z.string(), value: z.string() })),
  /** Fields of the form; an absent one stays as it is. */
  form: z
    .object({
      prompts: z.string(),
      negativePrompt: z.string(),
      count: z.number().int(),
      steps: z.number().int(),
      scheduler: z.enum(SAMPLERS),
      eta: z.number(),
      guidanceScale: z.number(),
      seed: z.number().int(),
      keepTrajectories: z.boolean(),
      shareInitialNoise: z.boolean(),
      width: z.number().int(),
      height: z.number().int(),
      clipSkip: z.number().int(),
    })
    .partial(),
  /** Null: it started from noise, or from what is not in this project. */
  start: startedFrom.nullable(),
  /** The model of this project that made it; null: none, the chosen one stays. */
  modelId: z.string().nullable(),
  /** Of the model; null: no adapter. */
  adapterId: z.string().nullable(),
  /** What could not be taken over, and why. */
  notes: z.array(z.string()),
});
export type Recalled = z.infer<typeof recalled>;

/** A picture made again from the settings in its file, beside the original. */
export const reproduction = z.object({
  /** `file`: the same bytes; `pixels`: the same picture in another file. */
  identical: z.enum(['file', 'pixels', 'no']),
  /** Largest and mean absolute difference of a channel, 0…255, and how many of the pixels differ. */
  max: z.number(),
  mean: z.number(),
  differing: z.number().int(),
  pixels: z.number().int(),
  /** What is not as it was, and may be why. */
  notes: z.array(z.string()),
  originalHash: z.string(),
  hash: z.string(),
  /** The absolute difference times `factor`, as a picture; null where there is none. */
  amplified: z.object({ hash: z.string(), factor: z.number() }).nullable(),
});
export type Reproduction = z.infer<typeof reproduction>;

/** A picture file that is looked into, at most. */
export const MAX_PICTURE_BYTES = 64 * 2 ** 20;

const pictureBytes = z.custom<Uint8Array>(
  (value) => value instanceof Uint8Array && value.length <= MAX_PICTURE_BYTES,
  'is not a file of at most 64 MiB',
);

const tuneSettings = z.object({
  algorithm: z.string(),
  modelId: z.string(),
  sessionIds: z.array(z.string()).min(1),
  config: z.record(z.string(), z.union([z.number(), z.string(), z.boolean(), z.null()])).default({}),
});

const id = z.object({ id: z.string() });
const empty = z.object({});

const providerReport = z.object({
  provider: z.string(),
  usable: z.boolean(),
  /** Why it is not usable; empty when it is. */
  reason: z.string(),
  /** One run of the small graph; null when it did not run. */
  seconds: z.number().nullable(),
  /** Relative difference from the CPU; null when it did not run. */
  agreement: z.number().nullable(),
});

/** One step of a model on one provider. */
const stepReport = providerReport.extend({
  startSeconds: z.number().nullable(),
  /** Most memory that the process held, on the host. */
  peakBytes: z.number().nullable(),
});
export type StepReport = z.infer<typeof stepReport>;

/** name → input and output. The handler of `x.y` lives in `handlers/x.ts`. */
export const procedures = {
  'app.info': {
    input: empty,
    output: z.object({
      version: z.string(),
      host: z.enum(['desktop', 'browser']),
      project: z.string(),
      /** What tuning runs on here, by measurement; 'cpu' until it is known. Pictures are made on the CPU. */
      provider: z.string(),
      threads: z.number().int(),
    }),
  },
  /** What each provider of this machine does with a small graph, against the CPU; measured when it is not known yet. */
  'app.providers': { input: empty, output: z.array(providerReport) },
  'models.list': { input: empty, output: z.array(model) },
  /** With `copy` the folder is copied into the project first; `modelCopy` events tell how far it is. */
  'models.add': {
    input: z.object({
      path: z.string(),
      copy: z.boolean().default(false),
      /** Then one small step is tried, as a job of its own, where the model can make pictures and memory is not short. */
      dryStep: z.boolean().default(false),
    }),
    output: model,
  },
  /** One small step of a model of pictures: a job. A `model` event tells what it showed. */
  'models.dryStep': { input: id, output: job },
  'models.cancelCopy': { input: empty, output: empty },
  /** Takes it off the list. `deleteCopy` also deletes the files of a model that was copied in. */
  'models.remove': { input: id.extend({ deleteCopy: z.boolean().default(false) }), output: empty },
  /** Everything that is known of a model: components, exporter, faults with their fixes, providers. */
  'models.report': { input: id, output: doctorReport },
  /** One step of the model on every provider of this machine, against the CPU; measured when it is not known yet. */
  'models.measure': { input: id, output: z.array(stepReport) },
  /** One count per prompt; null for a model that reads no text. */
  'models.tokens': {
    input: z.object({ modelId: z.string(), prompts: z.array(z.string().max(20_000)).max(1000) }),
    output: z.array(tokenCount.nullable()),
  },
  'jobs.list': { input: empty, output: z.array(job) },
  /** Stops after the current step and keeps what is finished; `hard` kills the compute process at once. */
  'jobs.cancel': { input: id.extend({ hard: z.boolean().default(false) }), output: job },
  'jobs.pause': { input: id, output: job },
  'jobs.resume': { input: id, output: job },
  /** Tuning only: ends the run now and writes the adapter as it is. */
  'jobs.stopAndKeep': { input: id, output: job },
  'generate.start': { input: generateInput, output: job },
  /** Opens what the first picture needs before it is asked for, unless something runs or memory is short. */
  'generate.warm': { input: generateInput.pick({ modelId: true, adapterId: true, clipSkip: true }), output: empty },
  'generate.estimate': {
    input: generateInput.pick({ prompts: true, count: true, steps: true, steering: true }),
    output: generateEstimate,
  },
  /** How a guided sample came to be; null where nothing steered it, or nothing was kept. */
  'generate.guided': {
    input: z.object({ jobId: z.string(), index: z.number().int().min(0) }),
    output: guidedRecord.nullable(),
  },
  /** The plain samples that put the rewards of a job on one scale, as each reward sees them; empty where there were none. */
  'generate.plain': { input: z.object({ jobId: z.string() }), output: z.array(plainValues) },
  /** Ways in which rewards can steer, the rewards that can, and how several become one. */
  'generate.steering': {
    input: z.object({ of: z.enum(['pictures', 'sequences']).default('pictures') }),
    output: z.object({
      decoders: z.array(
        z.object({
          name: z.string(),
          title: z.string(),
          description: z.string(),
          source: z.string(),
          /** The field that says how many candidates there are. */
          countKey: z.string(),
          fields: z.array(field),
          needsGradient: z.boolean(),
        }),
      ),
      rewards: z.array(
        z.object({
          reward: z.string(),
          label: z.string(),
          description: z.string(),
          hasGradient: z.boolean(),
          higherIsBetter: z.boolean(),
        }),
      ),
      combinations: z.array(z.object({ name: z.enum(COMBINATIONS), title: z.string(), description: z.string() })),
    }),
  },
  /** Plain samples of what a form says, kept for looking at rewards, and what steering by them is expected to do. */
  'banks.show': {
    input: followed.extend({ of: bankOf, alpha: z.number().positive().nullable().default(null) }),
    output: bankView,
  },
  /** Makes what the bank lacks to have `count` samples, and scores them: a job. */
  'banks.make': {
    input: followed.pick({ rewards: true }).extend({ of: bankOf, count: z.number().int().min(1).max(100_000) }),
    output: job,
  },
  /** Value networks for what a form says and a reward, and what training another takes. */
  'values.show': { input: z.object({ of: bankOf, reward: z.string().min(1) }), output: valueView },
  /** Trains one: a job. Where one trains for this form already, that. */
  'values.train': { input: z.object({ of: bankOf, reward: z.string().min(1) }), output: job },
  /** Writes sequences: a job that generates. */
  'sequences.start': { input: sequencesInput.extend({ steering: steering.nullable().default(null) }), output: job },
  /** In the order in which they were made, page by page; `total` counts all that match. */
  'sequences.list': {
    input: sequencePage,
    output: z.object({ sequences: z.array(sequence), total: z.number().int() }),
  },
  /** Rewards that can score sequences here, and how many each has scored. Others can be written out. */
  'sequences.rewards': {
    input: empty,
    output: z.array(z.object({ reward: z.string(), description: z.string(), scored: z.number().int() })),
  },
  /** Scores sequences that the reward has not scored yet: a job. */
  'sequences.score': { input: manySequences.extend({ reward: z.string().min(1) }), output: job },
  /** The sequences as a file would have them. */
  'sequences.text': {
    input: manySequences.extend({ format: z.enum(['fasta', 'csv']) }),
    output: z.object({ text: z.string() }),
  },
  /** Writes them into `folder` (absent: the project's `exports`). */
  'sequences.export': {
    input: manySequences.extend({ format: z.enum(['fasta', 'csv']), folder: z.string().min(1).optional() }),
    output: z.object({ path: z.string(), count: z.number().int() }),
  },
  /** What is found along a sequence of DNA. */
  'sequences.tracks': { input: z.object({ seq: z.number().int() }), output: sequenceTracks },
  'samples.list': {
    input: z.object({
      jobId: z.string().optional(),
      starred: z.boolean().optional(),
      limit: z.number().int().min(1).max(500).default(100),
      before: z.string().optional(),
    }),
    output: z.object({ samples: z.array(sample), total: z.number().int() }),
  },
  'samples.star': { input: id.extend({ starred: z.boolean() }), output: sample },
  /**
   * Pictures that match a search, as their `seq` in order, page by page: `next` goes into `after` of the call for the next
   * page. `total`, `terms` and `problems` come with the first page only.
   */
  'samples.find': { input: findInput, output: foundSamples },
  /** The pictures themselves, in no order; what is gone is left out. */
  'samples.show': { input: manySamples.extend({ seqs: z.array(z.number().int()).max(500) }), output: z.array(sample) },
  'samples.starAll': { input: manySamples.extend({ starred: z.boolean() }), output: empty },
  'samples.tag': {
    input: manySamples.extend({
      add: z.array(z.string()).max(50).default([]),
      remove: z.array(z.string()).max(50).default([]),
    }),
    output: empty,
  },
  /** In the order in which they were first used: the first nine are given by the keys 1 to 9. */
  'samples.tags': { input: empty, output: z.array(z.object({ name: z.string(), count: z.number().int() })) },
  /** Where `to` exists, the two tags become one. */
  'samples.renameTag': { input: z.object({ from: z.string(), to: z.string() }), output: empty },
  /** Takes pictures out of all lists; votes on them stay, and so do their files until the trash is emptied. */
  'samples.trash': { input: manySamples, output: z.object({ count: z.number().int() }) },
  'samples.restore': { input: manySamples, output: z.object({ count: z.number().int() }) },
  /** Removes what is in the trash for good, except what votes may be about: `kept` says how many those are. */
  'samples.emptyTrash': { input: empty, output: z.object({ removed: z.number().int(), kept: z.number().int() }) },
  /** Rewards that can score pictures here, and how many pictures each has scored. */
  'samples.rewards': {
    input: empty,
    output: z.array(z.object({ reward: z.string(), description: z.string(), scored: z.number().int() })),
  },
  /** Scores pictures that the reward has not scored yet: a job. */
  'samples.score': { input: manySamples.extend({ reward: z.string().min(1) }), output: job },
  /** Copies pictures into a new folder inside `folder` (absent: the project's `exports`), with their settings in `samples.jsonl`. */
  'samples.export': {
    input: manySamples.extend({ folder: z.string().min(1).optional() }),
    output: z.object({ folder: z.string(), count: z.number().int(), missing: z.number().int() }),
  },
  /**
   * What the file of a picture says of how it was made, fitted to the models and adapters of this project; null when it says
   * nothing. Bytes do not pass a WebSocket: a browser sends them as `POST /picture?modelId=…`.
   */
  'pictures.settings': {
    input: z.object({
      bytes: pictureBytes,
      /** The model chosen now. */
      modelId: z.string().nullable().default(null),
    }),
    output: recalled.nullable(),
  },
  /**
   * Keeps a picture file as one of the project's, to start from or as a mask, and says which it is: the same pixels are kept
   * once. A browser sends it as `POST /picture/keep`.
   */
  'pictures.keep': {
    input: z.object({ bytes: pictureBytes }),
    output: z.object({ hash: z.string() }),
  },
  /** Makes a picture of the project again from the settings in its file, and compares the two: a short job. */
  'pictures.reproduce': { input: z.object({ sampleId: z.string() }), output: job },
  /** What such a job (by its id) found; null before it is done. */
  'pictures.reproduction': { input: id, output: reproduction.nullable() },
  'sessions.list': { input: empty, output: z.array(session) },
  'sessions.create': {
    input: z.object({
      name: z.string().min(1),
      mode: z.enum(['pair', 'best-of-n']).default('pair'),
      /** Samples of these jobs, and these samples (by `seq`); at least one prompt must have two samples. */
      jobIds: z.array(z.string()).default([]),
      seqs: z.array(z.number().int()).max(100_000).default([]),
      seed: z.number().int().default(0),
    }),
    output: session,
  },
  /** The current unanswered question; null when a blind session is finished. */
  'sessions.question': { input: id, output: question.nullable() },
  /**
   * Stores a vote durably, then returns the next question. Pair: `outcome`. Best of n: `winnerId`, or `outcome` 'skip' or
   * 'both-bad'. Repeating the same trial with the same answer is harmless.
   */
  'sessions.vote': {
    input: z.object({
      trialId: z.string(),
      outcome: outcome.optional(),
      winnerId: z.string().optional(),
      strong: z.boolean().default(false),
      responseMs: z.number().min(0).optional(),
    }),
    output: z.object({ session, next: question.nullable() }),
  },
  /** Voids the last vote (it stays in the file, marked) and returns its question to be asked again. */
  'sessions.undo': { input: id, output: z.object({ session, question: question.nullable() }) },
  'sessions.standings': {
    input: id,
    output: z.object({
      standings: z.array(standing),
      heldOutAccuracy: z.number().nullable(),
      votes: z.number().int(),
      enough: z.boolean(),
    }),
  },
  'tune.algorithms': {
    input: empty,
    output: z.array(
      z.object({
        name: z.string(),
        title: z.string(),
        description: z.string(),
        source: z.string(),
        fields: z.array(field),
      }),
    ),
  },
  /** What a run of these settings would take. A newer question ends an older one, which is refused as `ask/superseded`. */
  'tune.estimate': { input: tuneSettings, output: tunePlan },
  'tune.start': {
    input: tuneSettings.extend({ name: z.string().default('') }),
    output: run,
  },
  'runs.list': { input: empty, output: z.array(run) },
  'runs.show': {
    input: id,
    output: z.object({ run, plan: tunePlan.nullable(), metrics: z.array(metricPoint), strip: z.array(stripFrame) }),
  },
  'adapters.list': { input: empty, output: z.array(adapter) },
  'adapters.rename': { input: id.extend({ name: z.string().min(1) }), output: adapter },
  /** Re-reads the file, applies it and compares with the live adapter: a short job. */
  'adapters.verify': { input: id, output: job },
  /** Generates the same prompts and seeds with A and B (null = base), and makes a blind session of them. */
  'compare.start': {
    input: z.object({
      modelId: z.string(),
      adapterA: z.string().nullable(),
      adapterB: z.string().nullable(),
      prompts: z.array(z.string()).min(1).max(500),
      perPrompt: z.number().int().min(1).max(64).default(1),
      steps: z.number().int().min(1).max(1000).default(30),
      eta: z.number().min(0).max(1).default(0),
      guidanceScale: z.number().min(0).max(30).default(3),
      seed,
    }),
    output: z.object({ job, session }),
  },
  'compare.result': { input: id, output: comparisonResult },
} as const;

export type Procedures = typeof procedures;
export type ProcedureName = keyof Procedures;
export type Input<N extends ProcedureName> = z.input<Procedures[N]['input']>;
export type ParsedInput<N extends ProcedureName> = z.output<Procedures[N]['input']>;
export type Output<N extends ProcedureName> = z.output<Procedures[N]['output']>;

/** Events the engine sends to every window. */
export const events = {
  job: job,
  /** A finished picture, or a preview of one in the making (`final` false; `hash` of a small preview). */
  sample: z.object({ jobId: z.string(), sample }),
  /** Pictures that were starred, tagged, scored, put into the trash or taken out of it, by `seq`. */
  samplesChanged: z.object({
    seqs: z.array(z.number().int()),
    what: z.enum(['marks', 'scores', 'trashed', 'restored']),
  }),
  preview: z.object({
    jobId: z.string(),
    prompt: z.string(),
    index: z.number().int(),
    step: z.number().int(),
    total: z.number().int(),
    hash: z.string(),
  }),
  /** What competed for a picture that a reward steers, after each step. */
  steered: z.object({
    jobId: z.string(),
    reward: z.string(),
    prompt: z.string(),
    index: z.number().int(),
    total: z.number().int(),
    ...guidedStep.shape,
  }),
  /** Sequences that are finished. */
  sequences: z.object({ jobId: z.string(), sequences: z.array(sequence) }),
  /** Sequences that a reward scored. */
  sequencesScored: z.object({
    reward: z.string(),
    values: z.array(z.tuple([z.number().int(), z.number()])),
  }),
  metrics: z.object({ runId: z.string(), point: metricPoint }),
  strip: z.object({ runId: z.string(), frame: stripFrame }),
  planned: z.object({ runId: z.string(), plan: tunePlan }),
  session: session,
  run: run,
  /** How far copying a model into the project is. */
  modelCopy: z.object({ path: z.string(), doneBytes: z.number(), totalBytes: z.number() }),
  /** A model of which more is known now: its hash, or what a step showed. */
  model: model,
} as const;
export type EventName = keyof typeof events;
export type EventPayload<N extends EventName> = z.infer<(typeof events)[N]>;

/** Wire messages, the same over MessagePort and WebSocket. The first message each way is `hello` with this version. */
export const CONTRACT_VERSION = 1;
export type WireMessage =
  | { t: 'hello'; version: number }
  | { t: 'call'; id: number; m: ProcedureName; p: unknown }
  | { t: 'ok'; id: number; r: unknown }
  | { t: 'err'; id: number; e: { code: string; message: string; hint: string } }
  | { t: 'ev'; topic: EventName; d: unknown };

/** What the desktop app's page has in `window.host`; a browser has no such thing. Verbs only. */
export interface DesktopHost {
  /** Opens the system's folder chooser; null when it was closed. */
  pickFolder(): Promise<string | null>;
  /** Path of a dropped file or folder. */
  pathForFile(file: File): string;
  /** Shows a file of the project in the system's file manager. */
  showItem(path: string): Promise<void>;
}
