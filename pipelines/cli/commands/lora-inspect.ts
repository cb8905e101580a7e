import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { defineCommand } from '#pipelines/cli/command.ts';
import { formatBytes } from '#pipelines/cli/model-report.ts';

export const loraInspect = defineCommand({
  name: 'lora inspect',
  summary: 'what an adapter file holds: naming, ranks, targets, metadata',
  options: z.object({ file: z.string().min(1).describe('adapter, .safetensors') }),
  positionals: ['file'],
  async run({ file }) {
    const { readSafetensors } = await import('#models/tensor/safetensors.ts');
    const { BYTES_PER_ELEMENT } = await import('#models/tensor/tensor.ts');
    const { adapterLayout } = await import('#pipelines/cli/adapter-layout.ts');
    const { tensors, metadata } = readSafetensors(file);
    const layout = adapterLayout(new Map([...tensors].map(([name, tensor]) => [name, tensor.dims])));
    if (layout.targets.length === 0) {
      throw new NorthlightError(
        'lora/none',
        `${file} holds ${tensors.size} tensors, but no low-rank pair (lora_A/lora_B, lora.down/lora.up or lora_down/lora_up).`,
        'Choose a LoRA file; full checkpoints are not adapters.',
      );
    }
    const values = [...tensors.values()].reduce((sum, tensor) => sum + tensor.data.length, 0);
    const bytes = [...tensors.values()].reduce(
      (sum, tensor) => sum + BYTES_PER_ELEMENT[tensor.dtype] * tensor.data.length,
      0,
    );
    return { file, ...layout, parameters: values, sizeBytes: bytes, metadata: Object.fromEntries(metadata) };
  },
  show(result) {
    return [
      `${result.naming} naming · rank ${result.ranks.join(', ')} · ${result.targets.length} targets · ` +
        `${result.parameters.toLocaleString('en')} parameters · ${formatBytes(result.sizeBytes)}`,
      ...result.targets.map((t) => `  ${t.name}  ${t.inFeatures} → ${t.rank} → ${t.outFeatures}`),
      ...result.incomplete.map((name) => `  ! ${name}: one half of the pair is missing`),
      ...result.unknown.map((name) => `  ? ${name}`),
      ...Object.entries(result.metadata).map(([key, value]) => `  ${key} = ${value}`),
    ].join('\n');
  },
  exitCode: (result) => (result.incomplete.length > 0 ? 2 : 0),
});
