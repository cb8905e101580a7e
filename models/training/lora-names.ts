/** Which network of a pipeline a module belongs to. The denoiser is called `unet` or `transformer` in files. */
export type LoraComponent = 'denoiser' | 'text_encoder' | 'text_encoder_2' | 'text_encoder_3';

/** Names of layers that hold an underscore of their own. Everything else between underscores is a path segment. */
const COMPOUND = new Set(
  `down_blocks up_blocks mid_block transformer_blocks single_transformer_blocks to_q to_k to_v to_qkv to_kv to_out to_add_out
  add_q_proj add_k_proj add_v_proj proj_in proj_out proj_mlp conv_in conv_out conv_shortcut time_emb_proj time_embedding
  add_embedding class_embedding encoder_hid_proj cond_proj linear_1 linear_2 ff_context norm1_context norm_out pos_embed
  time_text_embed timestep_embedder text_embedder guidance_embedder context_embedder x_embedder adaLN_modulation
  input_blocks middle_block output_blocks in_layers out_layers emb_layers skip_connection time_embed label_emb
  double_blocks single_blocks img_attn txt_attn img_mlp txt_mlp img_mod txt_mod img_in txt_in time_in vector_in guidance_in
  in_layer out_layer final_layer joint_blocks context_block x_block
  text_model self_attn q_proj k_proj v_proj qkv_proj out_proj text_projection token_embedding position_embedding wi_0 wi_1`
    .trim()
    .split(/\s+/),
);
const LONGEST = Math.max(...[...COMPOUND].map((name) => name.split('_').length));

/** A module path as kohya's scripts write it. */
export const underscored = (module: string): string => module.replaceAll('.', '_');

/**
 * The reverse of `underscored` for the layer names of Stable Diffusion, SDXL, SD3, Flux, CLIP, T5 and ours: the longest name
 * known to hold underscores is kept together. Other names may come out with too many dots; `underscored` of it is always the
 * name again.
 */
export function dotted(name: string): string {
  const words = name.split('_');
  const segments: string[] = [];
  for (let i = 0; i < words.length; ) {
    let n = Math.min(LONGEST, words.length - i);
    while (n > 1 && !COMPOUND.has(words.slice(i, i + n).join('_'))) n--;
    segments.push(words.slice(i, i + n).join('_'));
    i += n;
  }
  return segments.join('.');
}

/** A key's stem taken apart. */
export interface ParsedStem {
  /** null: the file does not say. */
  readonly component: LoraComponent | null;
  /** Set for the prefix `lora_te3_`, which is the third text encoder of SD3 but the second of Flux. */
  readonly third?: true;
  /** What follows the component, as in the file. */
  readonly rest: string;
  /** `rest` with dots. */
  readonly path: string;
}

const KOHYA = /^(?:lora|lycoris)_(?:(unet|transformer|te[123]?)_)?(.+)$/;
const KOHYA_COMPONENTS: Readonly<Record<string, LoraComponent>> = {
  unet: 'denoiser',
  transformer: 'denoiser',
  te: 'text_encoder',
  te1: 'text_encoder',
  te2: 'text_encoder_2',
  te3: 'text_encoder_3',
};
const DOTTED = /^(?:(?:model\.)?(diffusion_model)|(unet|transformer)|(text_encoder(?:_[23])?))\.(.+)$/;

/** Takes the stem of a key (`lora_unet_mid_block_…`, `unet.mid_block.…`, `base_model.model.…`) apart. */
export function parseStem(stem: string): ParsedStem {
  if (!stem.includes('.')) {
    const [, prefix, rest = stem] = KOHYA.exec(stem) ?? [];
    const component = prefix === undefined ? null : KOHYA_COMPONENTS[prefix]!;
    return { component, rest, path: dotted(rest), ...(prefix === 'te3' ? { third: true } : {}) };
  }
  const plain = stem.replace(/^base_model\.model\./, '');
  const [, diffusion, denoiser, text, rest = plain] = DOTTED.exec(plain) ?? [];
  const component = diffusion || denoiser ? 'denoiser' : ((text as LoraComponent | undefined) ?? null);
  return { component: component ?? (/^text_model\./.test(rest) ? 'text_encoder' : null), rest, path: rest };
}
