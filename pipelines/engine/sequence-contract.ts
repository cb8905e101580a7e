import { z } from 'zod';
import { SAMPLERS, SEQUENCE_SAMPLERS } from '#pipelines/schedulers/names.ts';
import { made, madeWith, seed } from './made-contract.ts';

/** What window and engine say to each other of sequences, and of how guided samples came to be. */

/** Samplers of models of sequences: of masks, and those of noise that one-hot models share with pictures. */
export const SEQUENCE_SCHEDULERS = [...SEQUENCE_SAMPLERS, ...SAMPLERS] as const;

export const sequence = made.extend({
  letters: z.string(),
  /** Of the model; null where none was asked for. */
  className: z.string().nullable(),
});
export type Sequence = z.infer<typeof sequence>;

/** How a sequence model may write; see `models` of the contract. */
export const sequenceSampling = z.object({
  alphabet: z.string(),
  molecule: z.enum(['dna', 'rna', 'protein', 'other']),
  /** Positions. */
  shortest: z.number().int(),
  longest: z.number().int(),
  classes: z.array(z.string()),
  /** Whether a class has to be named. */
  needsClass: z.boolean(),
  /** Whether it can be guided towards a class. */
  guided: z.boolean(),
  defaults: z.object({ steps: z.number().int(), scheduler: z.enum(SEQUENCE_SCHEDULERS), eta: z.number() }),
  /** Those that can write with it. */
  samplers: z.array(z.enum(SEQUENCE_SCHEDULERS)),
});

export const sequencesInput = madeWith.extend({
  /** Name or number of a class; null: none. */
  className: z.string().nullable().default(null),
  count: z.number().int().min(1).max(20_000).default(64),
  /** Positions; null: evenly from the model's shortest to its longest. */
  length: z.number().int().min(1).nullable().default(null),
  /** Null: as many as the model's own configuration says. */
  steps: z.number().int().min(1).max(100_000).nullable().default(null),
  scheduler: z.enum(SEQUENCE_SCHEDULERS).nullable().default(null),
  eta: z.number().min(0).max(1).default(0),
  guidanceScale: z.number().min(0).max(30).default(1),
  seed,
});

/** Sequences by `seq`. */
export const manySequences = z.object({ seqs: z.array(z.number().int()).min(1).max(100_000) });

export const sequencePage = z.object({
  jobId: z.string().optional(),
  /** Only those to which this reward gave at least (at most) so much. */
  reward: z.string().optional(),
  atLeast: z.number().optional(),
  atMost: z.number().optional(),
  limit: z.number().int().min(1).max(5000).default(1000),
  /** The `seq` after which to go on. */
  after: z.number().int().default(0),
});

const strand = z.enum(['+', '-']);

/** What is found along one sequence. Positions from 0; `end` is the first behind it. */
export const sequenceTracks = z.object({
  motifs: z.array(
    z.object({
      name: z.string(),
      consensus: z.string(),
      /** Log-odds of the position weight matrix against even bases, and the most that it can have. */
      best: z.number(),
      hits: z.array(z.object({ start: z.number().int(), end: z.number().int(), strand, bits: z.number() })),
    }),
  ),
  /** Recognition sites of restriction enzymes. */
  enzymes: z.array(
    z.object({
      name: z.string(),
      site: z.string(),
      hits: z.array(z.object({ start: z.number().int(), end: z.number().int(), strand })),
    }),
  ),
  /** Share of G and C in the window around each position. */
  gc: z.object({ window: z.number().int(), values: z.array(z.number()) }),
});
export type SequenceTracks = z.infer<typeof sequenceTracks>;

/** What competed for one sample at a step of guided sampling. */
export const guidedStep = z.object({
  step: z.number().int(),
  /** What each would be worth, higher is better, null where that was not asked; empty where none competed. */
  values: z.array(z.number().nullable()),
  /** Places of those that went on. */
  survivors: z.array(z.number().int()),
  /** Of each, the place in the step before of the one it comes from; null: not told. */
  parents: z.array(z.number().int().nullable()),
  /** Place of the finished sample that the others were to replace; null: none is. */
  standing: z.number().int().nullable().default(null),
  /** Sequences: the best guess of what each becomes. */
  guesses: z.array(z.string().nullable()).nullable(),
  /** Pictures: the same as small pictures side by side, `side` pixels wide each, in one file. */
  sheet: z.object({ hash: z.string(), side: z.number().int() }).nullable(),
  /** How many more competed than are told of. */
  left: z.number().int(),
});
export type GuidedStep = z.infer<typeof guidedStep>;

/** A place in the tree of a search; parents come before their children, the root first. */
export const guidedPlace = z.object({
  parent: z.number().int().nullable(),
  step: z.number().int(),
  prior: z.number(),
  value: z.number(),
  visits: z.number().int(),
  /** Sequences: the best guess of what it becomes. */
  guess: z.string().nullable(),
});
export type GuidedPlace = z.infer<typeof guidedPlace>;

/** How one guided sample came to be. */
export const guidedRecord = z.object({
  index: z.number().int(),
  reward: z.string(),
  decoder: z.string(),
  total: z.number().int(),
  /** What the sample itself is worth, higher is better. */
  result: z.number().nullable(),
  steps: z.array(guidedStep),
  tree: z
    .object({
      places: z.array(guidedPlace),
      /** Pictures: one small picture for each place, `columns` in a row. */
      sheet: z.object({ hash: z.string(), side: z.number().int(), columns: z.number().int() }).nullable(),
      left: z.number().int(),
    })
    .nullable(),
});
export type GuidedRecord = z.infer<typeof guidedRecord>;
