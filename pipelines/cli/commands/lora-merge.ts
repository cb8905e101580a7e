import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';

export const loraMerge = defineCommand({
  name: 'lora merge',
  summary: 'add adapters to the weights of a model',
  details:
    'Writes a copy of the model folder that needs no adapter. Several adapters are summed. The model may be larger than memory.',
  options: z.object({
    model: z.string().min(1).describe('model folder'),
    adapter: z.array(z.string().min(1)).min(1).describe('adapter FILE[:WEIGHT], once for each'),
    out: z.string().min(1).describe('new model folder'),
  }),
  async run({ model, adapter, out }, io) {
    const { resolve } = await import('node:path');
    const { mergeIntoFolder } = await import('#models/training/lora-merge-folder.ts');
    const adapters = adapter.map((spec) => {
      const [, path = spec, weight = '1'] = /^(.+):(-?(?:\d+\.?\d*|\.\d+))$/.exec(spec) ?? [];
      return { path: resolve(path), weight: Number(weight) };
    });
    const report = mergeIntoFolder(resolve(model), adapters, resolve(out), (network) => io.progress(network, 0, 0));
    return { out, adapters, ...report };
  },
  show: ({ out, adapters, networks, unmatched }) =>
    [
      `Written: ${out}`,
      ...networks.flatMap(({ network, matched }) =>
        matched.map((n, i) => `  ${network}: ${n} modules of ${adapters[i]!.path} × ${adapters[i]!.weight}`),
      ),
      ...unmatched.flatMap(({ path, names }) => names.map((name) => `  ? ${path}: "${name}" is not in the model`)),
    ].join('\n'),
});
