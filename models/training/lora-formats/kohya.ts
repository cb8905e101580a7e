import { NorthlightError } from '#models/errors.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { BASE_VERSION, type LoraBase, layoutOf } from '#models/training/lora-base.ts';
import { dotted, type LoraComponent, underscored } from '#models/training/lora-names.ts';
import { originalName } from '#models/training/lora-unet-blocks.ts';
import { type LoraAdapter, type LoraModule, type LoraOutput, summarise } from './adapter.ts';

/** Header keys that other tools know; anything else of ours goes under an own prefix. */
const KNOWN_METADATA = /^(ss_|sshs_|modelspec\.|northlight\.)/;
const OWN = 'northlight.';

/** The prefix of a network's keys. Only SD 1 and 2 have a text encoder without a number. */
export function kohyaPrefix(component: LoraComponent, base: LoraBase): string {
  const joint = base === 'sd3' || base === 'flux';
  switch (component) {
    case 'denoiser':
      // `lora_unet_` would mean the original code's fused layers there.
      return joint ? 'lora_transformer_' : 'lora_unet_';
    case 'text_encoder':
      return joint || base === 'sdxl' ? 'lora_te1_' : 'lora_te_';
    case 'text_encoder_2':
      return base === 'flux' ? 'lora_te3_' : 'lora_te2_';
    case 'text_encoder_3':
      return 'lora_te3_';
  }
}

/**
 * The naming of kohya's scripts: `<prefix><module with _ for .>` with `.lora_down.weight`, `.lora_up.weight` and a float
 * `.alpha`, and the six header keys by which other tools tell what a file is.
 * @throws {NorthlightError} `lora/key-collision`, `lora/no-layout`
 */
export function kohyaFiles(
  path: string,
  adapter: LoraAdapter,
  base: LoraBase,
  naming: 'original' | 'diffusers',
): LoraOutput[] {
  const layout = naming === 'original' ? layoutOf(base) : null;
  if (naming === 'original' && layout === null) {
    throw new NorthlightError(
      'lora/no-layout',
      `${path} cannot have the original code's block names: the base model is not known to be Stable Diffusion 1, 2 or SDXL.`,
      'Say which it is (--base), or keep the names of diffusers.',
    );
  }
  const tensors = new Map<string, Tensor>();
  const moduleOf = new Map<string, string>();
  const unclear: string[] = [];
  const exact: Record<string, number> = {};
  const whole = summarise(adapter.modules).alpha;
  for (const { component, module, down, up, alpha } of adapter.modules) {
    const name = (layout && (component ?? 'denoiser') === 'denoiser' && originalName(module, layout)) || module;
    const key = kohyaPrefix(component ?? 'denoiser', base) + underscored(name);
    const other = moduleOf.get(key);
    if (other !== undefined) {
      throw new NorthlightError(
        'lora/key-collision',
        `The modules "${other}" and "${module}" would both be called "${key}" in ${path}.`,
        'Leave one of them out of the targets.',
      );
    }
    moduleOf.set(key, module);
    if (dotted(underscored(name)) !== name) unclear.push(name);
    // The tensor keeps alpha as float32, and the header one exact number for the whole file.
    if ((Math.fround(alpha) === Math.fround(whole) ? whole : Math.fround(alpha)) !== alpha) exact[key] = alpha;
    tensors.set(`${key}.lora_down.weight`, down);
    tensors.set(`${key}.lora_up.weight`, up);
    tensors.set(`${key}.alpha`, f32([], [alpha]));
  }
  return [{ name: '', content: { tensors, metadata: header(adapter, base, unclear, exact) } }];
}

function header(
  adapter: LoraAdapter,
  base: LoraBase,
  unclear: readonly string[],
  exact: Readonly<Record<string, number>>,
): Map<string, string> {
  const { rank, alpha } = summarise(adapter.modules);
  const conv = adapter.modules.find((m: LoraModule) => m.down.dims.slice(2).some((k) => k > 1));
  const args = conv ? { conv_dim: String(conv.down.dims[0]), conv_alpha: String(conv.alpha) } : {};
  const metadata = new Map<string, string>();
  for (const [key, value] of adapter.metadata) metadata.set(KNOWN_METADATA.test(key) ? key : OWN + key, value);
  const version = metadata.get('ss_base_model_version');
  // Booleans in Python's spelling.
  const six: readonly (readonly [string, string])[] = [
    ['ss_base_model_version', version ?? BASE_VERSION[base]],
    ['ss_v2', base === 'sd2' ? 'True' : 'False'],
    ['ss_network_module', 'networks.lora'],
    ['ss_network_dim', String(rank)],
    ['ss_network_alpha', String(alpha)],
    ['ss_network_args', JSON.stringify(args)],
  ];
  for (const [key, value] of six) metadata.set(key, value);
  if (unclear.length > 0) metadata.set(`${OWN}modules`, JSON.stringify([...unclear].sort()));
  if (Object.keys(exact).length > 0) metadata.set(`${OWN}alphas`, JSON.stringify(exact));
  return metadata;
}
