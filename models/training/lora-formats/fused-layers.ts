import { BYTES_PER_ELEMENT, fromBytes, type Tensor, toBytes } from '#models/tensor/tensor.ts';
import type { LoraModule } from './adapter.ts';

const QKV = ['to_q', 'to_k', 'to_v'];
const ADDED = ['add_q_proj', 'add_k_proj', 'add_v_proj'];

/** [original path, the block's name in diffusers, paths inside it]. Several paths: one layer of the original is several there. */
const LAYERS: readonly (readonly [RegExp, string, readonly string[]])[] = [
  [/^double_blocks\.(\d+)\.img_attn\.qkv$/, 'transformer_blocks', QKV.map((p) => `attn.${p}`)],
  [/^double_blocks\.(\d+)\.txt_attn\.qkv$/, 'transformer_blocks', ADDED.map((p) => `attn.${p}`)],
  [/^double_blocks\.(\d+)\.img_attn\.proj$/, 'transformer_blocks', ['attn.to_out.0']],
  [/^double_blocks\.(\d+)\.txt_attn\.proj$/, 'transformer_blocks', ['attn.to_add_out']],
  [/^double_blocks\.(\d+)\.img_mlp\.0$/, 'transformer_blocks', ['ff.net.0.proj']],
  [/^double_blocks\.(\d+)\.img_mlp\.2$/, 'transformer_blocks', ['ff.net.2']],
  [/^double_blocks\.(\d+)\.txt_mlp\.0$/, 'transformer_blocks', ['ff_context.net.0.proj']],
  [/^double_blocks\.(\d+)\.txt_mlp\.2$/, 'transformer_blocks', ['ff_context.net.2']],
  [/^double_blocks\.(\d+)\.img_mod\.lin$/, 'transformer_blocks', ['norm1.linear']],
  [/^double_blocks\.(\d+)\.txt_mod\.lin$/, 'transformer_blocks', ['norm1_context.linear']],
  [/^single_blocks\.(\d+)\.linear1$/, 'single_transformer_blocks', [...QKV.map((p) => `attn.${p}`), 'proj_mlp']],
  [/^single_blocks\.(\d+)\.linear2$/, 'single_transformer_blocks', ['proj_out']],
  [/^single_blocks\.(\d+)\.modulation\.lin$/, 'single_transformer_blocks', ['norm.linear']],
  // Stable Diffusion 3
  [/^joint_blocks\.(\d+)\.x_block\.attn\.qkv$/, 'transformer_blocks', QKV.map((p) => `attn.${p}`)],
  [/^joint_blocks\.(\d+)\.x_block\.attn2\.qkv$/, 'transformer_blocks', QKV.map((p) => `attn2.${p}`)],
  [/^joint_blocks\.(\d+)\.context_block\.attn\.qkv$/, 'transformer_blocks', ADDED.map((p) => `attn.${p}`)],
  [/^joint_blocks\.(\d+)\.x_block\.attn\.proj$/, 'transformer_blocks', ['attn.to_out.0']],
  [/^joint_blocks\.(\d+)\.x_block\.attn2\.proj$/, 'transformer_blocks', ['attn2.to_out.0']],
  [/^joint_blocks\.(\d+)\.context_block\.attn\.proj$/, 'transformer_blocks', ['attn.to_add_out']],
  [/^joint_blocks\.(\d+)\.x_block\.mlp\.fc1$/, 'transformer_blocks', ['ff.net.0.proj']],
  [/^joint_blocks\.(\d+)\.x_block\.mlp\.fc2$/, 'transformer_blocks', ['ff.net.2']],
  [/^joint_blocks\.(\d+)\.context_block\.mlp\.fc1$/, 'transformer_blocks', ['ff_context.net.0.proj']],
  [/^joint_blocks\.(\d+)\.context_block\.mlp\.fc2$/, 'transformer_blocks', ['ff_context.net.2']],
];

/**
 * Modules of the original Flux and SD3 code as those of diffusers. A fused layer (query, key, value and in Flux's single
 * blocks the first layer of the MLP) becomes several: they share `down`, and each has its rows of `up`. Others pass through.
 */
export function splitFused(m: LoraModule): LoraModule[] {
  for (const [pattern, block, paths] of LAYERS) {
    const index = pattern.exec(m.module)?.[1];
    if (index === undefined) continue;
    const named = (path: string) => `${block}.${index}.${path}`;
    if (paths.length === 1) return [{ ...m, module: named(paths[0]!) }];
    const out = m.up.dims[0] ?? 0;
    // Query, key and value are as wide as the input; what is left belongs to the MLP.
    const width = paths.length === 3 ? out / 3 : (m.down.dims[1] ?? 0);
    const widths = paths.map((_, i) => (i < 3 ? width : out - 3 * width));
    // Sizes that do not divide: left as it is, to be reported as no module of the model.
    if (widths.some((w) => !Number.isInteger(w) || w <= 0)) return [m];
    let start = 0;
    return paths.map((path, i) => {
      const up = rows(m.up, start, start + widths[i]!);
      start += widths[i]!;
      return { ...m, module: named(path), up };
    });
  }
  return [m];
}

/** Rows [from, to) of a tensor, over the same memory. */
function rows(t: Tensor, from: number, to: number): Tensor {
  const [count, ...rest] = t.dims as [number, ...number[]];
  const row = (t.data.length / count) * BYTES_PER_ELEMENT[t.dtype];
  return fromBytes(t.dtype, [to - from, ...rest], toBytes(t).subarray(from * row, to * row));
}
