import type { Tensor } from '#models/tensor/tensor.ts';
import type { LoraBase } from '#models/training/lora-base.ts';
import type { LoraComponent } from '#models/training/lora-names.ts';
import type { LoraAdapter, LoraModule, LoraOutput } from './adapter.ts';
import { adapterConfig } from './peft-config.ts';
import { WEIGHTS } from './read.ts';

/** What a pipeline of diffusers calls its networks. */
export function networkName(component: LoraComponent, base: LoraBase): string {
  if (component !== 'denoiser') return component;
  return base === 'sd3' || base === 'flux' ? 'transformer' : 'unet';
}

export function byNetwork(adapter: LoraAdapter, base: LoraBase): Map<string, LoraModule[]> {
  const networks = new Map<string, LoraModule[]>();
  for (const m of adapter.modules) {
    const name = networkName(m.component ?? 'denoiser', base);
    networks.set(name, [...(networks.get(name) ?? []), m]);
  }
  return networks;
}

/**
 * The naming of diffusers: `unet.<module>.lora_A.weight`, `.lora_B.weight`; rank and alpha of each network as PEFT's
 * configuration in the header (`lora_adapter_metadata`, keys `unet.r`, …).
 */
export function diffusersFiles(adapter: LoraAdapter, base: LoraBase, isFile: boolean): LoraOutput[] {
  const tensors = new Map<string, Tensor>();
  const config: Record<string, unknown> = {};
  for (const [network, modules] of byNetwork(adapter, base)) {
    for (const { module, down, up } of modules) {
      tensors.set(`${network}.${module}.lora_A.weight`, down);
      tensors.set(`${network}.${module}.lora_B.weight`, up);
    }
    for (const [key, value] of Object.entries(adapterConfig(modules))) config[`${network}.${key}`] = value;
  }
  const sorted = Object.fromEntries(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)));
  const metadata = new Map(adapter.metadata)
    .set('format', 'pt')
    .set('lora_adapter_metadata', JSON.stringify(sorted, null, 2));
  return [{ name: isFile ? '' : WEIGHTS.diffusers, content: { tensors, metadata } }];
}
