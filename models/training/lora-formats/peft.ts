import type { Tensor } from '#models/tensor/tensor.ts';
import type { LoraBase } from '#models/training/lora-base.ts';
import type { LoraAdapter, LoraOutput } from './adapter.ts';
import { byNetwork } from './diffusers.ts';
import { adapterConfig } from './peft-config.ts';
import { PEFT_CONFIG, WEIGHTS } from './read.ts';

/** PEFT's folder: `adapter_model.safetensors` with `base_model.model.<module>.lora_A.weight`, and `adapter_config.json`. */
export function peftFiles(adapter: LoraAdapter, base: LoraBase): LoraOutput[] {
  const networks = byNetwork(adapter, base);
  return [...networks].flatMap(([network, modules]) => {
    const tensors = new Map<string, Tensor>();
    for (const { module, down, up } of modules) {
      tensors.set(`base_model.model.${module}.lora_A.weight`, down);
      tensors.set(`base_model.model.${module}.lora_B.weight`, up);
    }
    // A text encoder alone has its folder too: the keys do not say what network they are for.
    const folder = networks.size > 1 || network.startsWith('text_encoder') ? `${network}/` : '';
    const config = { base_model_name_or_path: null, ...adapterConfig(modules) };
    return [
      {
        name: `${folder}${WEIGHTS.peft}`,
        content: { tensors, metadata: new Map(adapter.metadata).set('format', 'pt') },
      },
      { name: `${folder}${PEFT_CONFIG}`, content: `${JSON.stringify(config, null, 2)}\n` },
    ];
  });
}
