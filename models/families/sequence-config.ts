import { basename, join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { optionalJson } from './find-folder.ts';
import { fixed } from './ports.ts';
import type { Component, FoundFolder, SignaturePort } from './types.ts';

export type Molecule = 'dna' | 'rna' | 'protein' | 'other';

/** What the models of sequences have in common. */
export interface SequenceBase {
  readonly path: string;
  readonly name: string;
  readonly description: string;
  readonly denoiser: Component;
  /** Letter of each token id, from 0. */
  readonly alphabet: string;
  readonly molecule: Molecule;
  /** Shortest and longest sequence; equal for models of one length. */
  readonly length: readonly [min: number, max: number];
  /** Names of classes by their number; empty for a model without. */
  readonly classes: readonly string[];
  /** Class that stands for "none", for models that learnt to do without; guidance needs it. */
  readonly nullClass: number | null;
  readonly schedulerConfig: Readonly<Record<string, unknown>>;
}

/** Ways of making sequences that a manifest may name and that we do not have. */
const OTHER_KINDS = ['uniform-d3pm', 'autoregressive'];

const id = z.int().min(0);

/** `denoiser/config.json` of a model of sequences. Unknown keys are kept. */
const sequenceConfig = z.looseObject({
  alphabet: z
    .string()
    .min(2)
    .refine((letters) => new Set(letters).size === letters.length, 'a letter stands in it twice'),
  length: z.union([
    z.int().min(1),
    z.tuple([z.int().min(1), z.int().min(1)]).refine(([min, max]) => min <= max, 'must be [shortest, longest]'),
  ]),
  classes: z.array(z.string().min(1)).default([]),
  null_class_id: id.nullish(),
  kind: z.string().default('other'),
  /** Letters in the order of the network's channels or columns, where that is not the order of token ids. */
  channels_order: z.string().optional(),
  mask_token_id: id.optional(),
  pad_token_id: id.nullish(),
  output_kind: z.enum(['logits', 'log-probs']).default('logits'),
  /** False: the network has an input for time that its training left at zero. */
  time_conditioning: z.boolean().default(true),
  timestep: z.looseObject({ name: z.string().optional(), quantity: z.enum(['t', 'sigma']).optional() }).default({}),
});
export type SequenceConfig = z.output<typeof sequenceConfig>;

/** @throws {NorthlightError} `model/config` naming the key; `model/unsupported-kind`. */
export function parseSequenceConfig(denoiser: Component): SequenceConfig {
  const where = `${denoiser.path.replace(/[^/\\]*$/, '')}config.json`;
  const parsed = sequenceConfig.safeParse(denoiser.config);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new NorthlightError(
      'model/config',
      `${where}: ${issue.path.join('.') || 'the file'}: ${issue.message}.`,
      'A model of sequences needs at least "alphabet" and "length" there, and a masked one "mask_token_id".',
    );
  }
  const config = parsed.data;
  if (OTHER_KINDS.includes(config.kind)) {
    throw new NorthlightError(
      'model/unsupported-kind',
      `${where} says that the model is "${config.kind}", which has no sampler here.`,
      'Masked and continuous one-hot diffusion models can be used.',
    );
  }
  const order = config.channels_order;
  if (order !== undefined && [...order].sort().join('') !== [...config.alphabet].sort().join('')) {
    throw new NorthlightError(
      'model/config',
      `${where}: channels_order "${order}" does not hold the letters of the alphabet "${config.alphabet}".`,
      'Write each letter of the alphabet once, in the order of the channels.',
    );
  }
  return config;
}

/** @throws {NorthlightError} `model/config` when classes and the graph contradict each other. */
export function sequenceBase(found: FoundFolder, denoiser: Component, config: SequenceConfig): SequenceBase {
  const own = optionalJson(join(found.path, 'northlight.json'));
  const classPort = denoiser.signature.inputs.find((p) => p.name === 'class_labels');
  if (classPort === undefined && config.classes.length > 0) {
    throw new NorthlightError(
      'model/signature',
      `${denoiser.path} has no input "class_labels", but its config.json names ${config.classes.length} classes.`,
      'Export the network with its class input, or remove "classes".',
    );
  }
  if (classPort !== undefined && config.classes.length === 0) {
    throw new NorthlightError(
      'model/config',
      `${denoiser.path} reads "class_labels", but its config.json names no classes.`,
      'Add "classes": the names of the classes by their number.',
    );
  }
  return {
    path: found.path,
    name: typeof own.name === 'string' ? own.name : basename(found.path),
    description: typeof own.description === 'string' ? own.description : '',
    denoiser,
    alphabet: config.alphabet,
    molecule: moleculeOf(config),
    length: typeof config.length === 'number' ? [config.length, config.length] : config.length,
    classes: config.classes,
    nullClass: config.null_class_id ?? null,
    schedulerConfig: found.schedulerConfig ?? {},
  };
}

function moleculeOf({ kind, alphabet }: SequenceConfig): Molecule {
  if (kind === 'dna' || kind === 'rna' || kind === 'protein') return kind;
  const letters = [...alphabet].sort().join('');
  if (letters === 'ACGT') return 'dna';
  if (letters === 'ACGU') return 'rna';
  return 'other';
}

/** @throws {NorthlightError} `model/signature` when the export fixed another size than `wanted`. */
export function checkSize(denoiser: Component, port: SignaturePort, axis: number, wanted: number, what: string): void {
  const size = fixed(port.dims[axis]);
  if (size === undefined || size === wanted) return;
  throw new NorthlightError(
    'model/signature',
    `${denoiser.path} has ${size} for the ${what} in "${port.name}" [${port.dims.map((d) => d ?? '?').join(', ')}]; config.json says ${wanted}.`,
    'Correct config.json, or export the network that belongs to it.',
  );
}
