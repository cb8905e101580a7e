import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';
import { describeModel, type ModelReport } from '#pipelines/cli/model-report.ts';

export const modelsList = defineCommand({
  name: 'models list',
  summary: 'bundled models, and those of --folder',
  options: z.object({
    folder: z.array(z.string().min(1)).default([]).describe('also list the model folders inside this one'),
  }),
  async run({ folder }) {
    const { existsSync, readdirSync } = await import('node:fs');
    const { join } = await import('node:path');
    const { fileError } = await import('#models/files.ts');
    const { inspectModelFolder } = await import('#models/families/index.ts');
    const { bundledModelsFolder } = await import('#pipelines/cli/bundled.ts');
    const inside = (parent: string): string[] => {
      try {
        return readdirSync(parent, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map((entry) => join(parent, entry.name))
          .sort();
      } catch (error) {
        throw fileError(error, parent, 'read');
      }
    };
    const models: (ModelReport & { bundled: boolean; path: string })[] = [];
    for (const [parent, bundled] of [[bundledModelsFolder, true], ...folder.map((f) => [f, false] as const)] as const) {
      // What ships beside the models (classifiers for rewards) is no model folder; in a person's folder it would be a mistake to say.
      const folders = inside(parent).filter((path) => !bundled || existsSync(join(path, 'model_index.json')));
      for (const path of folders) models.push({ bundled, path, ...(await inspectModelFolder(path)) });
    }
    return { models };
  },
  show({ models }) {
    if (models.length === 0) return 'No models. Name a folder with --folder.';
    return models
      .map((model) => `${model.bundled ? '(bundled) ' : ''}${model.path}\n${describeModel(model)}`)
      .join('\n\n');
  },
});
