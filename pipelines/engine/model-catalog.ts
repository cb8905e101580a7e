import { readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { NorthlightError, toPlainError } from '#models/errors.ts';
import type { Db } from '#pipelines/store/db.ts';
import { newId } from '#pipelines/store/ids.ts';
import { type ModelRow, models } from '#pipelines/store/models.ts';
import type { Model } from './contract.ts';

/** What looking into a model folder tells; see `models/families/index.ts`. */
export type ModelReport = Omit<Model, 'id' | 'bundled' | 'path'>;
export type InspectModel = (directory: string) => ModelReport | Promise<ModelReport>;

/** The bundled models and the folders a person added. */
export interface ModelCatalog {
  list(): Promise<Model[]>;
  /** @throws NorthlightError `models/unknown` */
  get(id: string): Promise<Model>;
  /** As `get`, for work to do. @throws NorthlightError `models/unusable` */
  usable(id: string): Promise<Model>;
  add(path: string): Promise<Model>;
  remove(id: string): void;
}

export function createModelCatalog(db: Db, bundledModels: string, inspect: InspectModel): ModelCatalog {
  /** Hashing weights takes long, so a good report is kept while the engine lives; a bad one is looked at again. */
  const reports = new Map<string, ModelReport>();

  for (const path of modelFolders(bundledModels)) {
    const known = models.byPath(db, path);
    if (!known) models.put(db, { id: `model-bundled-${basename(path)}`, path, bundled: true });
  }

  const report = async (path: string): Promise<ModelReport> => {
    const known = reports.get(path);
    if (known) return known;
    const fresh = await inspect(path);
    if (fresh.usable) reports.set(path, fresh);
    return fresh;
  };

  const view = async (row: ModelRow): Promise<Model> => {
    try {
      return { ...(await report(row.path)), id: row.id, bundled: row.bundled, path: row.path };
    } catch (error) {
      return unreadable(row, error);
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
    add: async (path) => {
      const folder = resolve(path);
      if (!isFolder(folder)) {
        throw new NorthlightError(
          'models/not-a-folder',
          `${folder} is not a folder.`,
          'Choose the folder that holds model_index.json.',
        );
      }
      reports.delete(folder);
      // An unreadable folder is refused here rather than listed for ever.
      await report(folder);
      const known = models.byPath(db, folder);
      const id = known?.id ?? newId('model');
      models.put(db, { id, path: folder, bundled: known?.bundled ?? false });
      return view(find(id));
    },
    remove: (id) => {
      const row = find(id);
      if (row.bundled) {
        throw new NorthlightError('models/bundled', 'A bundled model cannot be removed.', 'It is part of Northlight.');
      }
      models.remove(db, id);
    },
  };
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

function unreadable(row: ModelRow, error: unknown): Model {
  const { message, hint } = toPlainError(error);
  return {
    id: row.id,
    name: basename(row.path),
    family: 'unknown',
    bundled: row.bundled,
    path: row.path,
    hash: '',
    parameters: 0,
    sizeBytes: 0,
    width: 0,
    height: 0,
    predictionType: '',
    usable: false,
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
