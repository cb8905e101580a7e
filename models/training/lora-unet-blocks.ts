/**
 * Stable Diffusion's UNet has two names for every layer: that of the original code (`input_blocks.4.1.…`), which kohya's
 * scripts keep for SDXL, and that of diffusers (`down_blocks.1.attentions.0.…`). Inside a transformer they agree.
 */
export interface UnetLayout {
  /** Resnets of a down block; an up block has one more. */
  readonly resnets: number;
  /** For each up block whether it has attention: there the upsampler is the third part of its output block, else the second. */
  readonly upAttention: readonly boolean[];
}

/** Stable Diffusion 1 and 2. */
export const SD_LAYOUT: UnetLayout = { resnets: 2, upAttention: [false, true, true, true] };
export const SDXL_LAYOUT: UnetLayout = { resnets: 2, upAttention: [true, true, false] };

/** [diffusers, original], whole paths. */
const OUTSIDE: readonly (readonly [string, string])[] = [
  ['conv_in', 'input_blocks.0.0'],
  ['conv_norm_out', 'out.0'],
  ['conv_out', 'out.2'],
  ['time_embedding.linear_1', 'time_embed.0'],
  ['time_embedding.linear_2', 'time_embed.2'],
  ['add_embedding.linear_1', 'label_emb.0.0'],
  ['add_embedding.linear_2', 'label_emb.0.2'],
];

/** [diffusers, original], inside a resnet. */
const RESNET: readonly (readonly [string, string])[] = [
  ['norm1', 'in_layers.0'],
  ['conv1', 'in_layers.2'],
  ['norm2', 'out_layers.0'],
  ['conv2', 'out_layers.3'],
  ['time_emb_proj', 'emb_layers.1'],
  ['conv_shortcut', 'skip_connection'],
];

const pick = (table: readonly (readonly [string, string])[], from: 0 | 1, name: string): string | undefined =>
  table.find((row) => row[from] === name)?.[from === 0 ? 1 : 0];

/** The original code's path of a module given by its diffusers path; undefined for a module it does not have. */
export function originalName(module: string, layout: UnetLayout): string | undefined {
  const outside = pick(OUTSIDE, 0, module);
  if (outside !== undefined) return outside;
  const [, block, part, index, rest] =
    /^((?:down_blocks|up_blocks)\.\d+|mid_block)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)$/.exec(
      module,
    ) ?? [];
  if (block === undefined || part === undefined || rest === undefined) return undefined;
  const j = Number(index);
  const inner = part === 'resnets' ? pick(RESNET, 0, rest) : rest;
  if (inner === undefined) return undefined;
  if (block === 'mid_block') {
    if (part === 'attentions') return `middle_block.${2 * j + 1}.${inner}`;
    return part === 'resnets' ? `middle_block.${2 * j}.${inner}` : undefined;
  }
  const [kind, number] = block.split('.') as [string, string];
  const stride = layout.resnets + 1;
  const i = Number(number);
  if (kind === 'down_blocks') {
    if (part === 'downsamplers') return rest === 'conv' ? `input_blocks.${stride * (i + 1)}.0.op` : undefined;
    if (part === 'upsamplers' || j >= layout.resnets) return undefined;
    return `input_blocks.${1 + stride * i + j}.${part === 'resnets' ? 0 : 1}.${inner}`;
  }
  if (part === 'upsamplers') {
    return rest === 'conv'
      ? `output_blocks.${stride * i + layout.resnets}.${layout.upAttention[i] ? 2 : 1}.conv`
      : undefined;
  }
  if (part === 'downsamplers' || j > layout.resnets) return undefined;
  return `output_blocks.${stride * i + j}.${part === 'resnets' ? 0 : 1}.${inner}`;
}

/** The diffusers path of a module given by the original code's; undefined for any other name. */
export function diffusersName(module: string, resnets = 2): string | undefined {
  const outside = pick(OUTSIDE, 1, module);
  if (outside !== undefined) return outside;
  const stride = resnets + 1;
  const middle = /^middle_block\.(\d+)\.(.+)$/.exec(module);
  if (middle) {
    const k = Number(middle[1]);
    if (k % 2 === 1) return `mid_block.attentions.${(k - 1) / 2}.${middle[2]}`;
    const inner = pick(RESNET, 1, middle[2]!);
    return inner && `mid_block.resnets.${k / 2}.${inner}`;
  }
  const [, side, number, sub, rest] = /^(input|output)_blocks\.(\d+)\.([012])\.(.+)$/.exec(module) ?? [];
  if (side === undefined || rest === undefined) return undefined;
  const at = side === 'input' ? Number(number) - 1 : Number(number);
  const [i, j] = [Math.floor(at / stride), at % stride];
  if (at < 0) return undefined;
  const block = `${side === 'input' ? 'down' : 'up'}_blocks.${i}`;
  if (side === 'input' && j === resnets) {
    return sub === '0' && rest === 'op' ? `${block}.downsamplers.0.conv` : undefined;
  }
  if (side === 'output' && j === resnets && sub !== '0' && rest === 'conv') return `${block}.upsamplers.0.conv`;
  if (sub === '2') return undefined;
  if (sub === '1') return `${block}.attentions.${j}.${rest}`;
  const inner = pick(RESNET, 1, rest);
  return inner && `${block}.resnets.${j}.${inner}`;
}
