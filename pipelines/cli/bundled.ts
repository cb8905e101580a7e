import { join } from 'node:path';

/** Where the models that ship live. */
export const bundledModelsFolder: string = join(import.meta.dirname, '..', '..', 'models', 'bundled');
