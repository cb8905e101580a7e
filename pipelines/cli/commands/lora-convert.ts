import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { defineCommand } from '#pipelines/cli/command.ts';

export const loraConvert = defineCommand({
  name: 'lora convert',
  summary: 'write an adapter in the format of another tool',
  details:
    'Reads every format that "lora inspect" names. What was written is read back and must be the same adapter, bit for bit.',
  options: z.object({
    file: z.string().min(1).describe('adapter: .safetensors, or a folder of PEFT or diffusers'),
    to: z.enum(['kohya', 'diffusers', 'peft']).describe('format to write; every program reads kohya'),
    out: z
      .string()
      .min(1)
      .optional()
      .describe('file, or folder for peft (default: beside the adapter, with its format)'),
    naming: z
      .enum(['original', 'diffusers'])
      .optional()
      .describe('names of UNet blocks in kohya files (default: original for SDXL, else diffusers)'),
    base: z
      .enum(['sd1', 'sd2', 'sdxl', 'sd3', 'flux', 'other'])
      .optional()
      .describe('base model, where the adapter does not tell'),
  }),
  positionals: ['file'],
  async run({ file, to, out, naming, base }) {
    const { resolve } = await import('node:path');
    const { readLora } = await import('#models/training/lora-formats/read.ts');
    const { writeLora } = await import('#models/training/lora-formats/write.ts');
    const { firstDifference } = await import('#models/training/lora-formats/compare.ts');
    const { loraBase } = await import('#models/training/lora-base.ts');
    const adapter = readLora(file);
    const stem = file.replace(/[\\/]+$/, '').replace(/\.safetensors$/, '');
    const target = out ?? `${stem}-${to}${to === 'peft' ? '' : '.safetensors'}`;
    if (resolve(target) === resolve(file)) {
      throw new NorthlightError('usage', `--out is the adapter itself: ${target}.`, 'Name another file.');
    }
    const written = writeLora(target, adapter, {
      format: to,
      ...(naming === undefined ? {} : { naming }),
      ...(base === undefined ? {} : { base }),
    });
    const difference = firstDifference(adapter, readLora(target));
    if (difference !== undefined) {
      throw new NorthlightError(
        'internal/lora-convert',
        `${target} was written, but reads back as another adapter: ${difference}.`,
        'Do not use it, and report this with the adapter.',
      );
    }
    return {
      file,
      format: to,
      base: base ?? loraBase(adapter.modules, adapter.metadata),
      modules: adapter.modules.length,
      written,
    };
  },
  show: ({ format, modules, written }) =>
    `Written as ${format} and read back the same, ${modules} modules:\n${written.map((path) => `  ${path}`).join('\n')}`,
});
