import { readdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { NorthlightError, toPlainError } from '#models/errors.ts';
import { programVersion } from '#models/version.ts';
import {
  parseMaskedSchedulerConfig,
  parseSchedulerConfig,
  SEQUENCE_SAMPLERS,
  samplerOf,
  samplersFor,
} from '#pipelines/schedulers/index.ts';
import type { Db } from '#pipelines/store/db.ts';
import { newId } from '#pipelines/store/ids.ts';
import { modelReports } from '#pipelines/store/model-reports.ts';
import { type ModelRow, models } from '#pipelines/store/models.ts';
import { type DryStepReport, dryStepReport, type Model } from './contract.ts';
import { doctorReport, type ModelDoctorReport } from './doctor-schema.ts';

/** What a list shows of a model; see `models/families/inspect-folder.ts`. */
export type ModelReport = Omit<Model, 'id' | 'bundled' | 'path' | 'copied' | 'dryStep'>;

/** How models are looked into; replaced in tests of the engine alone. */
export interface ModelLook {
  /** Reads names and graph signatures only. Never throws for a bad folder. */
  examine(directory: string): ModelDoctorReport | Promise<ModelDoctorReport>;
  /** Names, sizes and dates of the files, hashed. */
  stamp(directory: string): string;
  /** SHA-256 of what decides the model's output: reads every weight, in the background. */
  hash(directory: string, signal: AbortSignal): Promise<string>;
}

/** The bundled models and the folders a person added. */
export interface ModelCatalog {
  list(): Promise<Model[]>;
  /** @throws NorthlightError `models/unknown` */
  get(id: string): Promise<Model>;
  /** As `get`, for work to do. @throws NorthlightError `models/unusable` */
  usable(id: string): Promise<Model>;
  /** All that is known of a model. @throws NorthlightError `models/unknown` */
  report(id: string): Promise<ModelDoctorReport>;
  /** Of its files as they are; equal while nobody has changed them. @throws NorthlightError `models/unknown` */
  stamp(id: string): Promise<string>;
  /** Its hash, waited for when it is not known yet. @throws NorthlightError `models/unknown` */
  hash(id: string): Promise<string>;
  add(path: string): Promise<Model>;
  /** What a path holds, without adding it. */
  examine(path: string): Promise<ModelDoctorReport>;
  /** @param deleteCopy also deletes the files, where they were copied into the project. */
  remove(id: string, deleteCopy?: boolean): void;
  /** Ends work in the background. */
  close(): void;
}

/**
 * Reports are kept in the project and made again when a file's size or date has changed. Hashes are worked out one after
 * another in the background, so that a list never waits for gigabytes.
 * @param ownModels the project's folder for models that were copied in. @param changed is told of a model whose hash has become known.
 */
export function createModelCatalog(
  db: Db,
  bundledModels: string,
  ownModels: string,
  look: ModelLook,
  changed: (model: Model) => void = () => {},
): ModelCatalog {
  const copied = ({ path }: ModelRow) => dirname(path) === ownModels;
  const closing = new AbortController();
  const hashing = new Map<string, Promise<string>>();
  let last: Promise<unknown> = Promise.resolve();

  for (const path of modelFolders(bundledModels)) {
    const known = models.byPath(db, path);
    if (!known) models.put(db, { id: `model-bundled-${basename(path)}`, path, bundled: true });
  }

  const examine = async (path: string): Promise<Examined> => {
    const stamp = `${look.stamp(path)} ${programVersion()}`;
    const kept = modelReports.get(db, path);
    const parsed = kept?.stamp === stamp ? doctorReport.safeParse(kept.report) : undefined;
    if (kept && parsed?.success) {
      const dryStep = dryStepReport.safeParse(kept.dryStep).data ?? null;
      return { report: parsed.data, stamp, hash: kept.hash, dryStep };
    }
    const report = await look.examine(path);
    // What is wrong may lie in files that the stamp does not cover: it is looked at again.
    if (report.usable) modelReports.put(db, path, stamp, report);
    else modelReports.remove(db, path);
    return { report, stamp, hash: '', dryStep: null };
  };

  /** One model after another: two at once would only share the disk. */
  const hashLater = (path: string, stamp: string): Promise<string> => {
    const key = `${path}\n${stamp}`;
    const under = hashing.get(key);
    if (under) return under;
    const work = last
      .then(() => look.hash(path, closing.signal))
      .then((hash) => {
        modelReports.putHash(db, path, stamp, hash);
        return hash;
      })
      .finally(() => hashing.delete(key));
    hashing.set(key, work);
    last = work.catch(() => {});
    return work;
  };

  const view = async (row: ModelRow): Promise<Model> => {
    try {
      const { report, stamp, hash, dryStep } = await examine(row.path);
      const { id, bundled, path } = row;
      const model = { ...listed(report), hash, dryStep, id, bundled, path, copied: copied(row) };
      if (report.usable && hash === '') {
        hashLater(row.path, stamp).then(
          (found) => changed({ ...model, hash: found }),
          // A folder that went away says so when it is looked at again.
          () => {},
        );
      }
      return model;
    } catch (error) {
      return unreadable(row, copied(row), error);
    }
  };

  const find = (id: string): ModelRow => {
    const row = models.get(db, id);
    if (row) return row;
    throw new NorthlightError('models/unknown', `There is no model ${id} in this project.`, 'Add its folder first.');
  };

  return {
    list: async () => {
      const shown = models.all(db).filter((row) => !row.bundled || isFolder(row.path));
      return Promise.all(shown.map(view));
    },
    get: async (id) => view(find(id)),
    usable: async (id) => {
      const row = find(id);
      const found = await view(row);
      if (found.usable) return found;
      const [problem] = found.problems;
      throw new NorthlightError(
        'models/unusable',
        `The model "${found.name}" cannot be used: ${problem?.message ?? 'it is incomplete.'}`,
        problem?.hint ?? '',
      );
    },
    report: async (id) => (await examine(find(id).path)).report,
    stamp: async (id) => (await examine(find(id).path)).stamp,
    hash: async (id) => {
      const { path } = find(id);
      const { stamp, hash } = await examine(path);
      return hash || hashLater(path, stamp);
    },
    add: async (path) => {
      const folder = resolve(path);
      if (!isFolder(folder)) {
        const { findings } = await look.examine(folder);
        throw new NorthlightError(
          'models/not-a-folder',
          findings[0]?.message ?? `${folder} is not a folder.`,
          findings[0]?.hint ?? 'Choose the folder that holds model_index.json.',
        );
      }
      const known = models.byPath(db, folder);
      const id = known?.id ?? newId('model');
      models.put(db, { id, path: folder, bundled: known?.bundled ?? false });
      return view(find(id));
    },
    examine: async (path) => look.examine(resolve(path)),
    remove: (id, deleteCopy = false) => {
      const row = find(id);
      if (row.bundled) {
        throw new NorthlightError('models/bundled', 'A bundled model cannot be removed.', 'It is part of Northlight.');
      }
      models.remove(db, id);
      modelReports.remove(db, row.path);
      if (deleteCopy && copied(row)) rmSync(row.path, { recursive: true, force: true });
    },
    close: () => closing.abort(),
  };
}

/** What is known of a folder's files. */
interface Examined {
  readonly report: ModelDoctorReport;
  readonly stamp: string;
  /** Empty while it is not known. */
  readonly hash: string;
  readonly dryStep: DryStepReport | null;
}

/** What a list shows of a report. */
function listed(report: ModelDoctorReport): Omit<ModelReport, 'hash'> {
  const { name, family, parameters, sizeBytes, width, height, predictionType, usable, description } = report;
  const problems = report.findings.filter((f) => f.weight === 'stops').map(({ message, hint }) => ({ message, hint }));
  const examplePrompts = [...report.examplePrompts];
  return {
    name,
    family,
    parameters,
    sizeBytes,
    width,
    height,
    predictionType,
    sampling: samplingOf(report),
    sequence: sequenceOf(report),
    usable,
    problems,
    description,
    examplePrompts,
  };
}

/** Noise of stochastic flows: a of Liu et al. 2025 (arXiv:2505.05470). Elsewhere 1, as much as the model was trained with. */
const FLOW_ETA = 0.7;

function samplingOf({ sampling, predictionType }: ModelDoctorReport): Model['sampling'] {
  if (sampling === null) return null;
  const { steps, guidanceScale, schedulerConfig, ...facts } = sampling;
  const config = parseSchedulerConfig(schedulerConfig);
  const eta = predictionType === 'flow_velocity' ? FLOW_ETA : 1;
  return {
    ...facts,
    defaults: { steps, guidanceScale, scheduler: samplerOf(config), eta },
    samplers: samplersFor(config),
  };
}

/** Steps of a one-hot model that names none. */
const ONE_HOT_STEPS = 50;

function sequenceOf({ sequence }: ModelDoctorReport): Model['sequence'] {
  if (sequence === null) return null;
  const { kind, schedulerConfig, classes, ...facts } = sequence;
  if (kind === 'masked') {
    const { sampler, num_inference_steps: steps } = parseMaskedSchedulerConfig(schedulerConfig);
    const defaults = { steps, scheduler: sampler, eta: 0 };
    return { ...facts, classes: [...classes], defaults, samplers: [...SEQUENCE_SAMPLERS] };
  }
  const config = parseSchedulerConfig(schedulerConfig);
  const told = schedulerConfig.num_inference_steps;
  const steps = typeof told === 'number' ? told : ONE_HOT_STEPS;
  const defaults = { steps, scheduler: samplerOf(config), eta: 1 };
  return { ...facts, classes: [...classes], defaults, samplers: samplersFor(config) };
}

/** Folders directly inside `root` that hold a `model_index.json`, by name. */
function modelFolders(root: string): string[] {
  let names: string[];
  try {
    names = readdirSync(root).sort();
  } catch {
    return [];
  }
  return names.map((name) => resolve(root, name)).filter((path) => isFile(join(path, 'model_index.json')));
}

function unreadable(row: ModelRow, copied: boolean, error: unknown): Model {
  const { message, hint } = toPlainError(error);
  return {
    id: row.id,
    name: basename(row.path),
    family: 'unknown',
    bundled: row.bundled,
    path: row.path,
    copied,
    hash: '',
    parameters: 0,
    sizeBytes: 0,
    width: 0,
    height: 0,
    predictionType: '',
    sampling: null,
    sequence: null,
    usable: false,
    dryStep: null,
    problems: [{ message, hint: hint || 'Put the folder back, or remove the model from the list.' }],
    description: '',
    examplePrompts: [],
  };
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
