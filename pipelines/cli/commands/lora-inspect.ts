import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { defineCommand } from '#pipelines/cli/command.ts';
import { formatBytes } from '#pipelines/cli/model-report.ts';

const OWN = 'northlight.';

export const loraInspect = defineCommand({
  name: 'lora inspect',
  summary: 'what an adapter holds: format, base model, ranks, modules, metadata',
  options: z.object({ file: z.string().min(1).describe('adapter: .safetensors, or a folder of PEFT or diffusers') }),
  positionals: ['file'],
  async run({ file }) {
    const { inspectLora } = await import('#models/training/lora-formats/read.ts');
    const { loraBase } = await import('#models/training/lora-base.ts');
    const { BYTES_PER_ELEMENT } = await import('#models/tensor/tensor.ts');
    const found = inspectLora(file);
    if (found.modules.length + found.incomplete.length + found.unsupported.length === 0) {
      throw new NorthlightError(
        'lora/none',
        `${file} holds ${found.others.length} tensors, but no low-rank pair (lora_down/lora_up, lora_A/lora_B, lora.down/lora.up).`,
        'Choose a LoRA file; full checkpoints are not adapters.',
      );
    }
    const halves = found.modules.flatMap(({ down, up }) => [down, up]);
    const distinct = <T extends string | number>(values: readonly T[]): T[] => [...new Set(values)].sort(compare);
    const own = [...found.metadata].filter(([key]) => key.startsWith(OWN));
    return {
      file,
      format: found.spelling,
      blocks: found.blocks,
      base: loraBase(found.modules, found.metadata),
      networks: distinct(found.modules.map((m) => m.component ?? 'unknown')),
      ranks: distinct(found.modules.map((m) => m.down.dims[0]!)),
      alphas: distinct(found.modules.map((m) => m.alpha)),
      types: distinct(halves.map((t) => t.dtype)),
      targets: found.modules
        .map(({ stem, component, module, down, up, alpha }) => ({
          name: stem,
          network: component ?? 'unknown',
          module,
          rank: down.dims[0]!,
          alpha,
          inFeatures: down.dims.slice(1).reduce((a, b) => a * b, 1),
          outFeatures: up.dims[0]!,
        }))
        .sort((a, b) => compare(a.name, b.name) || compare(a.module, b.module)),
      incomplete: found.incomplete.map(({ stem, why }) => `${stem} ${why}`),
      unsupported: found.unsupported,
      unknown: found.others,
      parameters: halves.reduce((sum, t) => sum + t.data.length, 0),
      sizeBytes: halves.reduce((sum, t) => sum + BYTES_PER_ELEMENT[t.dtype] * t.data.length, 0),
      metadata: Object.fromEntries(found.metadata),
      northlight: Object.fromEntries(own.map(([key, value]) => [key.slice(OWN.length), value])),
    };
  },
  show(result) {
    const base = result.base === 'other' ? 'base model unknown' : `for ${BASES[result.base]}`;
    const blocks = result.blocks ? `, ${result.blocks} block names` : '';
    return [
      `${result.format}${blocks} · ${base} · rank ${result.ranks.join(', ')} · alpha ${result.alphas.join(', ')} · ` +
        `${result.targets.length} modules of ${result.networks.join(', ')} · ` +
        `${result.parameters.toLocaleString('en')} parameters (${result.types.join(', ')}), ${formatBytes(result.sizeBytes)}`,
      ...result.targets.map((t) => `  ${t.name}  ${t.inFeatures} → ${t.rank} → ${t.outFeatures}, alpha ${t.alpha}`),
      ...result.unsupported.map(({ kind, key }) => `  ! not supported: ${kind} (${key})`),
      ...result.incomplete.map((text) => `  ! ${text}`),
      ...result.unknown.map((name) => `  ? ${name}`),
      ...Object.entries(result.metadata).map(([key, value]) => `  ${key} = ${value}`),
    ].join('\n');
  },
  exitCode: (result) => (result.incomplete.length + result.unsupported.length > 0 ? 2 : 0),
});

const BASES = {
  sd1: 'Stable Diffusion 1',
  sd2: 'Stable Diffusion 2',
  sdxl: 'SDXL',
  sd3: 'SD3',
  flux: 'Flux',
  other: '',
};

const compare = (a: string | number, b: string | number): number => (a < b ? -1 : a > b ? 1 : 0);
