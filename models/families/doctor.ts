import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { readAt, withFile } from '#models/files.ts';
import { isLfsPointer } from '#models/onnx/external.ts';
import { MAX_MODEL_BYTES } from '#models/onnx/read.ts';
import { TRIED_OPERATORS } from '#models/runtime/tried-operators.ts';
import { clipSkips } from './clip-skip.ts';
import { exporterOf } from './exporter.ts';
import type { GuidanceKind, ImageModel } from './family.ts';
import { findFolder, optionalJson } from './find-folder.ts';
import { foreignReason } from './foreign.ts';
import { precisionInWords, sizesInWords } from './in-words.ts';
import { openModelFolder } from './model-folder.ts';
import type { Molecule } from './sequence-config.ts';
import { isSequenceFolder, openSequenceModel, type SequenceModel } from './sequence-model.ts';
import { readSignature } from './signature.ts';
import type { Component, FoundFolder, GraphSignature, SignaturePort } from './types.ts';

/** One thing to know. `stops`: the model cannot run with it; `note`: it runs, but something is missing or limited. */
export interface Finding {
  readonly weight: 'stops' | 'note';
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export interface ComponentReport {
  readonly role: string;
  /** Relative to the model's folder, with `/`. */
  readonly file: string;
  readonly inputs: readonly SignaturePort[];
  readonly outputs: readonly SignaturePort[];
  readonly precision: string;
  readonly sizes: string;
  readonly opset: number;
  readonly parameters: number;
  readonly sizeBytes: number;
}

/** What is known of a provider and the operators of a model, before anything runs. */
export interface ProviderOutlook {
  readonly provider: string;
  /** Where it was tried; empty when it never was. */
  readonly device: string;
  /** Operators of this model that gave wrong values or failed there in some node. */
  readonly faulty: readonly string[];
  readonly leftToCpu: readonly string[];
  /** Operators of this model that were never tried there. */
  readonly untried: readonly string[];
}

/** What an image model asks of whoever makes pictures with it. */
export interface SamplingFacts {
  readonly steps: number;
  readonly guidanceScale: number;
  readonly guidance: GuidanceKind;
  /** Whether pictures may have another size, and what both sides are multiples of. */
  readonly freeSize: boolean;
  readonly sizeMultiple: number;
  /** Whether it can start from a picture. */
  readonly startsFromPictures: boolean;
  /** The largest clip skip; 1: there is no earlier layer to read. */
  readonly clipSkips: number;
  /** `scheduler_config.json`, with what the family adds. */
  readonly schedulerConfig: Readonly<Record<string, unknown>>;
}

/** What a model of sequences asks of whoever makes sequences with it. */
export interface SequenceFacts {
  readonly kind: 'masked' | 'one-hot';
  readonly alphabet: string;
  readonly molecule: Molecule;
  readonly shortest: number;
  readonly longest: number;
  readonly classes: readonly string[];
  /** Whether a class has to be named. */
  readonly needsClass: boolean;
  /** Whether it learnt to do without a class, so that it can be guided towards one. */
  readonly guided: boolean;
  /** `scheduler_config.json`. */
  readonly schedulerConfig: Readonly<Record<string, unknown>>;
}

/** What a path holds, whether it can run, and what to do about what cannot. */
export interface DoctorReport {
  readonly path: string;
  readonly name: string;
  /** `unknown` where no family fits. */
  readonly family: string;
  /** The family as people call it; empty where none fits. */
  readonly title: string;
  readonly kind: 'image' | 'sequence' | 'unknown';
  /** The whole answer in a sentence. */
  readonly status: string;
  readonly usable: boolean;
  readonly findings: readonly Finding[];
  readonly exporter: string;
  readonly exporterBecause: string;
  readonly precision: string;
  readonly sizes: string;
  readonly predictionType: string;
  readonly width: number;
  readonly height: number;
  /** How pictures are made with it; null where none can be. */
  readonly sampling: SamplingFacts | null;
  /** How sequences are made with it; null where none can be. */
  readonly sequence: SequenceFacts | null;
  readonly parameters: number;
  readonly sizeBytes: number;
  readonly components: readonly ComponentReport[];
  readonly tokenizers: readonly string[];
  readonly providers: readonly ProviderOutlook[];
  readonly description: string;
  readonly examplePrompts: readonly string[];
}

/**
 * Looks into whatever a person points at. Only names, configurations and graph signatures are read, so that gigabytes of
 * weights cost no time. Never throws for a bad folder: everything found wrong is in `findings`, the gravest first.
 */
export function examineModel(given: string): DoctorReport {
  const path = resolve(given);
  const foreign = attempt(() => foreignReason(path));
  const reason = foreign.value ?? foreign.error;
  if (reason !== undefined) return unusable(path, [stops(reason)]);
  const folder = attempt(() => findFolder(path));
  if (folder.value === undefined) return unusable(path, withOtherGraphs(path, folder.error!));
  return examineFolder(folder.value);
}

function examineFolder(found: FoundFolder): DoctorReport {
  const opened = attempt(() => (isSequenceFolder(found) ? openSequence(found) : openImage(found)));
  const findings = [
    ...[...found.components.values()].flatMap((c) => graphFindings(found, c)),
    ...(opened.error === undefined ? [] : [stops(opened.error)]),
    ...(opened.value === undefined ? [] : opened.value.notes),
    ...missingParts(found),
  ].sort((a, b) => Number(a.weight === 'note') - Number(b.weight === 'note'));
  const components = [...found.components.values()].map((c) => describe(found, c));
  const denoiser = found.components.get('denoiser');
  const exporter = exporterOf(found);
  const own = ownWords(found.path);
  const usable = !findings.some((f) => f.weight === 'stops');
  const facts = opened.value?.facts ?? NO_FACTS;
  return {
    path: found.path,
    ...own,
    ...facts,
    status: statusOf(usable, facts.title, findings, exporter.title),
    usable,
    findings,
    exporter: exporter.title,
    exporterBecause: exporter.because,
    precision: denoiser ? precisionInWords(denoiser) : '',
    sizes: denoiser ? sizesInWords(denoiser) : '',
    parameters: components.reduce((sum, c) => sum + c.parameters, 0),
    sizeBytes: components.reduce((sum, c) => sum + c.sizeBytes, 0),
    components,
    tokenizers: [...found.tokenizers.keys()],
    providers: outlook([...found.components.values()].map((c) => c.signature)),
  };
}

interface Facts {
  readonly family: string;
  readonly title: string;
  readonly kind: DoctorReport['kind'];
  readonly predictionType: string;
  readonly width: number;
  readonly height: number;
  readonly sampling: SamplingFacts | null;
  readonly sequence: SequenceFacts | null;
}

const NO_FACTS: Facts = {
  family: 'unknown',
  title: '',
  kind: 'unknown',
  predictionType: '',
  width: 0,
  height: 0,
  sampling: null,
  sequence: null,
};

function openImage(found: FoundFolder): { facts: Facts; notes: Finding[] } {
  const { model, predictionType } = openModelFolder(found.path);
  const { width, height, free } = model.size;
  const notes: Finding[] = [];
  if (model.vae !== null && model.vae.encoder === null) {
    notes.push(
      note(
        'no-encoder',
        'There is no vae_encoder: it can make pictures, but not start from one.',
        'Export the model again with its encoder to change pictures with it.',
      ),
    );
  }
  if (model.denoiser.extraChannels > 0) {
    notes.push(
      note(
        'inpainting',
        `It is an inpainting model: it reads ${model.denoiser.extraChannels} more channels, for the mask and the masked picture.`,
        'Give it a picture and a mask.',
      ),
    );
  }
  // A network of pictures themselves is made for one size anyway.
  if (!free && model.vae !== null) {
    notes.push(
      note(
        'fixed-size',
        `The export fixed the size: it makes pictures of ${width} × ${height} only.`,
        'Export it with free sizes to make others.',
      ),
    );
  }
  const { family, title } = model;
  const sampling = samplingOf(model);
  const facts: Facts = { ...NO_FACTS, family, title, kind: 'image', predictionType, width, height, sampling };
  return { facts, notes };
}

function samplingOf({ defaults, guidance, size, vae, text, schedulerConfig }: ImageModel): SamplingFacts {
  return {
    ...defaults,
    guidance,
    freeSize: size.free,
    sizeMultiple: size.multiple,
    startsFromPictures: vae === null || vae.encoder !== null,
    clipSkips: clipSkips({ text }),
    schedulerConfig,
  };
}

function openSequence(found: FoundFolder): { facts: Facts; notes: Finding[] } {
  const model = openSequenceModel(found);
  const masked = model.kind === 'masked';
  const title = masked ? 'Masked diffusion of sequences' : 'Diffusion of one-hot sequences';
  const family = masked ? 'masked-sequence' : 'onehot-sequence';
  return {
    facts: {
      ...NO_FACTS,
      ...{ family, title, kind: 'sequence', predictionType: masked ? 'logits' : 'epsilon' },
      sequence: sequenceFactsOf(model),
    },
    notes: [],
  };
}

function sequenceFactsOf(model: SequenceModel): SequenceFacts {
  const { kind, alphabet, molecule, length, classes, nullClass, schedulerConfig } = model;
  const [shortest, longest] = length;
  const needsClass = classes.length > 0 && nullClass === null;
  const guided = classes.length > 0 && nullClass !== null;
  return { kind, alphabet, molecule, shortest, longest, classes, needsClass, guided, schedulerConfig };
}

/** What is wrong with one graph or the weights beside it. */
function graphFindings(found: FoundFolder, { path, signature }: Component): Finding[] {
  const file = within(found.path, path);
  const findings: Finding[] = [];
  for (const weights of signature.weightFiles) {
    const where = `${dirname(file)}/${weights.location}`;
    const full = join(dirname(path), weights.location);
    if (weights.foundBytes === null) {
      findings.push(
        stop(
          'onnx/external-missing',
          `The weights of ${file} should be in ${where}, which is not there.`,
          'Copy all files of the model into its folder; large ones are often left behind.',
        ),
      );
    } else if (weights.foundBytes < weights.neededBytes) {
      const pointer = withFile(full, (fd, size) => isLfsPointer(readAt(fd, 0, Math.min(size, 64), full)));
      findings.push(
        pointer
          ? stop(
              'onnx/lfs-pointer',
              `${where} is a Git LFS placeholder, not the weights themselves.`,
              'Fetch the real file, for example with "git lfs pull".',
            )
          : stop(
              'onnx/external-short',
              `${where} was cut short: it has ${weights.foundBytes} of ${weights.neededBytes} bytes.`,
              'Copy or download it again.',
            ),
      );
    }
  }
  const inside = signature.weightFiles.reduce((rest, f) => rest - (f.foundBytes ?? 0), signature.sizeBytes);
  if (inside >= MAX_MODEL_BYTES) {
    findings.push(
      stop(
        'onnx/too-large',
        `${file} is larger than the 2 GiB that a graph file may have.`,
        'Export it with its weights in a file beside it (external data).',
      ),
    );
  }
  const strange = [...signature.operators.keys()].filter((o) => !KNOWN_DOMAINS.test(o));
  if (strange.length > 0) {
    findings.push(
      stop(
        'model/custom-operator',
        `${file} needs operators that the runtime does not have: ${strange.join(', ')}.`,
        'Export it again without custom operators.',
      ),
    );
  }
  return findings;
}

/** The standard's operators and those that the runtime adds to it. */
const KNOWN_DOMAINS = /^([^:]+|(com\.microsoft(\.\w+)?|ai\.onnx\.ml|ai\.onnx\.preview\.training|com\.ms\.\w+):.+)$/;

/** Parts whose absence takes nothing away. */
const OPTIONAL_PARTS = new Set([
  'feature_extractor',
  'image_encoder',
  'safety_checker',
  'watermarker',
  'vae',
  'scheduler',
]);
const DENOISERS = new Set(['unet', 'transformer', 'denoiser']);

/** Parts that the index names and the folder lacks, where no family has said it yet. */
function missingParts({ path, index, components }: FoundFolder): Finding[] {
  return Object.entries(index).flatMap(([name, value]) => {
    const named = Array.isArray(value) && value.length === 2 && value.every((v) => typeof v === 'string');
    if (!named || OPTIONAL_PARTS.has(name) || existsSync(join(path, name))) return [];
    if (DENOISERS.has(name) ? components.has('denoiser') : [...components.keys()].some((r) => r === name)) return [];
    if (name.startsWith('vae_') || DENOISERS.has(name)) return [];
    return [
      note(
        'missing-part',
        `model_index.json names "${name}", which the folder lacks.`,
        `Copy the folder ${name}/ if pictures do not follow the prompt.`,
      ),
    ];
  });
}

/** A folder that cannot be read as a whole: what else is wrong with its graphs, so that it is said once and not one by one. */
function withOtherGraphs(path: string, first: NorthlightError): Finding[] {
  const findings = [stops(first)];
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const graph = join(path, entry.name, 'model.onnx');
    if (!entry.isDirectory() || !existsSync(graph)) continue;
    const { error } = attempt(() => readSignature(graph));
    if (error !== undefined && error.message !== first.message) findings.push(stops(error));
  }
  return findings;
}

function describe(found: FoundFolder, component: Component): ComponentReport {
  const { role, path, signature } = component;
  return {
    role,
    file: within(found.path, path),
    inputs: signature.inputs,
    outputs: signature.outputs,
    precision: precisionInWords(component),
    sizes: sizesInWords(component),
    opset: signature.opsets.get('') ?? 0,
    parameters: signature.parameters,
    sizeBytes: signature.sizeBytes,
  };
}

/** Providers that the runtime may have besides the CPU, which runs everything. */
const PROVIDERS = ['webgpu', 'cuda', 'dml', 'coreml'];

/** What was measured of each provider with this model's operators; a provider that was never tried says so. */
function outlook(graphs: readonly GraphSignature[]): ProviderOutlook[] {
  const used = [...new Set(graphs.flatMap((g) => [...g.operators.keys()]))].sort();
  return PROVIDERS.map((provider) => {
    const tried = TRIED_OPERATORS.find((t) => t.provider === provider);
    if (tried === undefined) return { provider, device: '', faulty: [], leftToCpu: [], untried: used };
    const known = new Set([...tried.right, ...tried.leftToCpu, ...tried.faulty]);
    return {
      provider,
      device: tried.device,
      faulty: used.filter((o) => tried.faulty.includes(o)),
      leftToCpu: used.filter((o) => tried.leftToCpu.includes(o)),
      untried: used.filter((o) => !known.has(o)),
    };
  });
}

function statusOf(usable: boolean, title: string, findings: readonly Finding[], exporter: string): string {
  if (!usable) {
    const stopping = findings.filter((f) => f.weight === 'stops');
    const more = stopping.length > 1 ? ` (and ${stopping.length - 1} more)` : '';
    return `Cannot run: ${stopping[0]?.message ?? 'something is missing.'}${more}`;
  }
  return `Ready: ${title}, exported by ${exporter}.`;
}

function unusable(path: string, findings: readonly Finding[]): DoctorReport {
  return {
    path,
    name: basename(path),
    ...NO_FACTS,
    status: statusOf(false, '', findings, ''),
    usable: false,
    findings,
    exporter: '',
    exporterBecause: '',
    precision: '',
    sizes: '',
    parameters: 0,
    sizeBytes: 0,
    components: [],
    tokenizers: [],
    providers: [],
    description: '',
    examplePrompts: [],
  };
}

/** What `northlight.json` says of a model. */
function ownWords(path: string): Pick<DoctorReport, 'name' | 'description' | 'examplePrompts'> {
  const own = attempt(() => optionalJson(join(path, 'northlight.json'))).value ?? {};
  return {
    name: typeof own.name === 'string' ? own.name : basename(path),
    description: typeof own.description === 'string' ? own.description : '',
    examplePrompts: Array.isArray(own.examplePrompts)
      ? own.examplePrompts.filter((p): p is string => typeof p === 'string')
      : [],
  };
}

function attempt<T>(make: () => T): { value?: T; error?: NorthlightError } {
  try {
    return { value: make() };
  } catch (error) {
    if (error instanceof NorthlightError) return { error };
    throw error;
  }
}

const within = (root: string, path: string) => relative(root, path).replaceAll('\\', '/');
const stop = (code: string, message: string, hint: string): Finding => ({ weight: 'stops', code, message, hint });
const stops = (e: NorthlightError): Finding => stop(e.code, e.message, e.hint);
const note = (code: string, message: string, hint: string): Finding => ({ weight: 'note', code, message, hint });
