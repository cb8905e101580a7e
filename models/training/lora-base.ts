import type { LoraModule } from './lora-formats/adapter.ts';
import { SD_LAYOUT, SDXL_LAYOUT, type UnetLayout } from './lora-unet-blocks.ts';

/** The base model an adapter is for, as far as its names and sizes tell. */
export type LoraBase = 'sd1' | 'sd2' | 'sdxl' | 'sd3' | 'flux' | 'other';

/** What kohya's scripts write as `ss_base_model_version`. */
export const BASE_VERSION: Readonly<Record<LoraBase, string>> = {
  sd1: 'sd_v1',
  sd2: 'sd_v2',
  sdxl: 'sdxl_base_v1-0',
  sd3: 'sd3',
  flux: 'flux1',
  other: 'custom',
};

/** Width of the text that cross-attention reads. */
const BY_CONTEXT: Readonly<Record<number, LoraBase>> = { 768: 'sd1', 1024: 'sd2', 2048: 'sdxl' };

/**
 * Cross-attention's width tells the Stable Diffusions apart, block names the transformers; where neither is adapted, the
 * header's word is taken, and then what only one of them has.
 */
export function loraBase(
  modules: readonly Pick<LoraModule, 'component' | 'module' | 'down'>[],
  metadata: ReadonlyMap<string, string> = new Map(),
): LoraBase {
  const denoiser = modules.filter((m) => m.component === null || m.component === 'denoiser');
  for (const { module, down } of denoiser) {
    if (/^single_transformer_blocks\./.test(module)) return 'flux';
    if (/^transformer_blocks\.\d+\.(ff_context|norm1_context|attn\.add_[qkv]_proj|attn\.to_add_out)/.test(module)) {
      return denoiser.some((m) => m.module.startsWith('single_transformer_blocks.'))
        ? 'flux'
        : declared(metadata, 'sd3');
    }
    const base = /^(down|up|mid)_block.*\.attn2\.to_[kv]$/.test(module) ? BY_CONTEXT[down.dims[1] ?? 0] : undefined;
    if (base !== undefined) return base;
  }
  const said = declared(metadata, 'other');
  if (said !== 'other') return said;
  // Only SDXL has transformers of more than one layer, and of the models with two CLIP encoders only it has a UNet.
  if (denoiser.some((m) => /^(down|up|mid)_block.*\.transformer_blocks\.[1-9]/.test(m.module))) return 'sdxl';
  const unet = denoiser.length === 0 || denoiser.some((m) => /^(down|up|mid)_block/.test(m.module));
  return unet && modules.some((m) => m.component === 'text_encoder_2') ? 'sdxl' : 'other';
}

function declared(metadata: ReadonlyMap<string, string>, otherwise: LoraBase): LoraBase {
  const version = metadata.get('ss_base_model_version') ?? '';
  const known: readonly (readonly [RegExp, LoraBase])[] = [
    [/^sdxl/, 'sdxl'],
    [/^sd_v1/, 'sd1'],
    [/^sd_v2/, 'sd2'],
    [/^sd3/, 'sd3'],
    [/^flux/, 'flux'],
  ];
  return known.find(([pattern]) => pattern.test(version))?.[1] ?? otherwise;
}

/** How the base model's UNet is laid out; null for models without that kind of UNet. */
export function layoutOf(base: LoraBase): UnetLayout | null {
  if (base === 'sdxl') return SDXL_LAYOUT;
  return base === 'sd1' || base === 'sd2' ? SD_LAYOUT : null;
}
