import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Where the models that ship live. */
export const bundledModelsFolder: string = join(import.meta.dirname, '..', '..', 'models', 'bundled');

/** A folder as given, or the name of a bundled model. */
export function findModel(nameOrPath: string): string {
  const bundled = join(bundledModelsFolder, nameOrPath);
  return !existsSync(nameOrPath) && existsSync(join(bundled, 'model_index.json')) ? bundled : resolve(nameOrPath);
}
