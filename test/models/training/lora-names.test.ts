import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test as property } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dotted, parseStem, underscored } from '#models/training/lora-names.ts';
import {
  diffusersName,
  originalName,
  SD_LAYOUT,
  SDXL_LAYOUT,
  type UnetLayout,
} from '#models/training/lora-unet-blocks.ts';

type Row = readonly [path: string, kind: string, shape: readonly number[]];
const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', '..', 'golden', 'unet-modules.json'), 'utf8'),
) as Record<'sd15' | 'sdxl', { modules: Row[] }>;
const paths = (model: 'sd15' | 'sdxl') => golden[model].modules.map(([path]) => path);

/** What the original code's constructor takes; names as there. */
interface OriginalConfig {
  readonly modelChannels: number;
  readonly channelMult: readonly number[];
  readonly attentionResolutions: readonly number[];
  readonly transformerDepth: readonly number[];
  readonly contextDim: number;
  readonly useLinear: boolean;
  readonly admChannels?: number;
}
const SD15: OriginalConfig = {
  modelChannels: 320,
  channelMult: [1, 2, 4, 4],
  attentionResolutions: [4, 2, 1],
  transformerDepth: [1, 1, 1, 1],
  contextDim: 768,
  useLinear: false,
};
const SDXL: OriginalConfig = {
  modelChannels: 320,
  channelMult: [1, 2, 4],
  attentionResolutions: [4, 2],
  transformerDepth: [1, 2, 10],
  contextDim: 2048,
  useLinear: true,
  admChannels: 2816,
};

/**
 * A walk through the constructor of the original UNet (Rombach et al. 2022, `openaimodel.py`; two resnets per level): where it
 * makes a layer, its path and weight shape are noted.
 */
function originalUnet(c: OriginalConfig): Map<string, readonly number[]> {
  const layers = new Map<string, readonly number[]>();
  const mc = c.modelChannels;
  const time = 4 * mc;
  const conv = (path: string, out: number, inn: number, k = 3) => layers.set(path, [out, inn, k, k]);
  const linear = (path: string, out: number, inn: number) => layers.set(path, [out, inn]);
  const resnet = (path: string, inn: number, out: number) => {
    conv(`${path}.in_layers.2`, out, inn);
    linear(`${path}.emb_layers.1`, out, time);
    conv(`${path}.out_layers.3`, out, out);
    if (inn !== out) conv(`${path}.skip_connection`, out, inn, 1);
  };
  const transformer = (path: string, ch: number, depth: number) => {
    const project = (name: string) =>
      c.useLinear ? linear(`${path}.${name}`, ch, ch) : conv(`${path}.${name}`, ch, ch, 1);
    project('proj_in');
    for (let d = 0; d < depth; d++) {
      for (const [name, context] of [['attn1', ch] as const, ['attn2', c.contextDim] as const]) {
        const block = `${path}.transformer_blocks.${d}.${name}`;
        linear(`${block}.to_q`, ch, ch);
        linear(`${block}.to_k`, ch, context);
        linear(`${block}.to_v`, ch, context);
        linear(`${block}.to_out.0`, ch, ch);
      }
      linear(`${path}.transformer_blocks.${d}.ff.net.0.proj`, 8 * ch, ch);
      linear(`${path}.transformer_blocks.${d}.ff.net.2`, ch, 4 * ch);
    }
    project('proj_out');
  };

  linear('time_embed.0', time, mc);
  linear('time_embed.2', time, time);
  if (c.admChannels !== undefined) {
    linear('label_emb.0.0', time, c.admChannels);
    linear('label_emb.0.2', time, time);
  }
  conv('input_blocks.0.0', mc, 4);
  const skips = [mc];
  let [ch, ds, n] = [mc, 1, 1];
  for (const [level, mult] of c.channelMult.entries()) {
    for (let nr = 0; nr < 2; nr++, n++) {
      resnet(`input_blocks.${n}.0`, ch, mult * mc);
      ch = mult * mc;
      if (c.attentionResolutions.includes(ds)) transformer(`input_blocks.${n}.1`, ch, c.transformerDepth[level]!);
      skips.push(ch);
    }
    if (level === c.channelMult.length - 1) continue;
    conv(`input_blocks.${n++}.0.op`, ch, ch);
    skips.push(ch);
    ds *= 2;
  }
  resnet('middle_block.0', ch, ch);
  transformer('middle_block.1', ch, c.transformerDepth.at(-1)!);
  resnet('middle_block.2', ch, ch);
  n = 0;
  for (let level = c.channelMult.length - 1; level >= 0; level--) {
    for (let i = 0; i < 3; i++, n++) {
      const out = mc * c.channelMult[level]!;
      resnet(`output_blocks.${n}.0`, ch + skips.pop()!, out);
      ch = out;
      let next = 1;
      if (c.attentionResolutions.includes(ds))
        transformer(`output_blocks.${n}.${next++}`, ch, c.transformerDepth[level]!);
      if (level > 0 && i === 2) {
        conv(`output_blocks.${n}.${next}.conv`, ch, ch);
        ds /= 2;
      }
    }
  }
  conv('out.2', 4, ch);
  return layers;
}

describe('block names of Stable Diffusion', () => {
  test.each([
    ['sd15', SD15, SD_LAYOUT],
    ['sdxl', SDXL, SDXL_LAYOUT],
  ] as const)(
    'every layer of %s is the original layer of the same shape, and none is left over',
    (name, config, layout) => {
      const mapped = new Map(golden[name].modules.map(([path, , shape]) => [originalName(path, layout), shape]));
      expect(new Map([...mapped].sort())).toEqual(new Map([...originalUnet(config)].sort()));
      expect(paths(name).map((path) => diffusersName(originalName(path, layout)!))).toEqual(paths(name));
    },
  );

  test('names that people see in files', () => {
    expect(originalName('down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q', SDXL_LAYOUT)).toBe(
      'input_blocks.4.1.transformer_blocks.0.attn1.to_q',
    );
    expect(originalName('up_blocks.0.attentions.0.proj_in', SDXL_LAYOUT)).toBe('output_blocks.0.1.proj_in');
    expect(originalName('up_blocks.0.upsamplers.0.conv', SDXL_LAYOUT)).toBe('output_blocks.2.2.conv');
    expect(originalName('up_blocks.0.upsamplers.0.conv', SD_LAYOUT)).toBe('output_blocks.2.1.conv');
    expect(diffusersName('middle_block.1.proj_out')).toBe('mid_block.attentions.0.proj_out');
    for (const no of ['text_model.encoder.layers.0.fc1', 'down.0.conv', 'input_blocks.1.0.foo', 'mid_block.foo.0.x']) {
      expect([originalName(no, SD_LAYOUT), diffusersName(no)]).toEqual([undefined, undefined]);
    }
  });

  const layouts = fc.record({
    resnets: fc.integer({ min: 1, max: 4 }),
    upAttention: fc.array(fc.boolean(), { minLength: 2, maxLength: 5 }),
  });
  property.prop([layouts], { numRuns: 40 })('whatever the layout, both names determine each other', (layout) => {
    const modules = modulesOf(layout);
    const originals = modules.map((module) => originalName(module, layout)!);
    expect(new Set(originals).size).toBe(modules.length);
    expect(originals.map((name) => diffusersName(name, layout.resnets))).toEqual(modules);
  });

  /** Every layer that a UNet of this layout has; attention of the down path mirrors the up path. */
  function modulesOf({ resnets, upAttention }: UnetLayout): string[] {
    const levels = upAttention.length;
    const resnet = (path: string) =>
      ['conv1', 'conv2', 'time_emb_proj', 'conv_shortcut'].map((layer) => `${path}.${layer}`);
    const attention = (path: string) =>
      ['proj_in', 'transformer_blocks.0.attn1.to_out.0', 'transformer_blocks.1.ff.net.2'].map((l) => `${path}.${l}`);
    const blocks = upAttention.flatMap((attends, i) => {
      const down = `down_blocks.${levels - 1 - i}`;
      const parts = (block: string, count: number) =>
        Array.from({ length: count }, (_, j) => [
          ...resnet(`${block}.resnets.${j}`),
          ...(attends ? attention(`${block}.attentions.${j}`) : []),
        ]).flat();
      return [
        ...parts(down, resnets),
        ...parts(`up_blocks.${i}`, resnets + 1),
        ...(i < levels - 1 ? [`up_blocks.${i}.upsamplers.0.conv`, `down_blocks.${i}.downsamplers.0.conv`] : []),
      ];
    });
    const middle = [0, 1].flatMap((j) => resnet(`mid_block.resnets.${j}`));
    return [
      ...blocks,
      ...middle,
      ...attention('mid_block.attentions.0'),
      'conv_in',
      'conv_out',
      'time_embedding.linear_2',
    ];
  }
});

describe('keys', () => {
  const layers = (n: number) => Array.from({ length: n }, (_, i) => i);
  const clip = (n: number) =>
    layers(n).flatMap((i) =>
      ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.out_proj', 'mlp.fc1', 'mlp.fc2'].map(
        (layer) => `text_model.encoder.layers.${i}.${layer}`,
      ),
    );
  const joint = layers(3).flatMap((i) =>
    [
      'attn.to_q',
      'attn.add_k_proj',
      'attn.to_add_out',
      'attn.to_out.0',
      'ff_context.net.0.proj',
      'norm1_context.linear',
    ].map((layer) => `transformer_blocks.${i}.${layer}`),
  );
  const others = [
    'single_transformer_blocks.11.proj_mlp',
    'double_blocks.3.img_attn.qkv',
    'single_blocks.3.linear1',
    'joint_blocks.1.x_block.attn.qkv',
    'joint_blocks.1.context_block.adaLN_modulation.1',
    'encoder.block.0.layer.1.DenseReluDense.wi_0',
    'down.0.attn.attn1.to_out',
    'up.2.res.modulation',
    'text_projection',
  ];

  test('paths of known networks are told from their underscores again', () => {
    const originals = paths('sdxl').map((path) => originalName(path, SDXL_LAYOUT)!);
    const all = [...paths('sd15'), ...paths('sdxl'), ...originals, ...clip(32), ...joint, ...others];
    expect(all.filter((path) => dotted(underscored(path)) !== path)).toEqual([]);
  });

  property.prop([fc.stringMatching(/^[a-z0-9]+([._][a-z0-9]+){0,6}$/)])(
    'whatever the name, its dots stand where underscores stood',
    (name) => {
      expect(underscored(dotted(underscored(name)))).toBe(underscored(name));
    },
  );

  test.each([
    ['lora_unet_mid_block_attentions_0_proj_in', 'denoiser', 'mid_block.attentions.0.proj_in'],
    ['lora_te_text_model_encoder_layers_0_mlp_fc1', 'text_encoder', 'text_model.encoder.layers.0.mlp.fc1'],
    ['lora_te1_text_model_encoder_layers_0_mlp_fc1', 'text_encoder', 'text_model.encoder.layers.0.mlp.fc1'],
    ['lora_te2_text_projection', 'text_encoder_2', 'text_projection'],
    ['lora_transformer_transformer_blocks_0_attn_to_q', 'denoiser', 'transformer_blocks.0.attn.to_q'],
    ['unet.conv_in', 'denoiser', 'conv_in'],
    ['transformer.transformer_blocks.0.attn.to_q', 'denoiser', 'transformer_blocks.0.attn.to_q'],
    ['diffusion_model.input_blocks.4.1.proj_in', 'denoiser', 'input_blocks.4.1.proj_in'],
    ['base_model.model.down.0.to_q', null, 'down.0.to_q'],
    ['base_model.model.unet.down.0.to_q', 'denoiser', 'down.0.to_q'],
    ['base_model.model.text_model.encoder.layers.0.mlp.fc1', 'text_encoder', 'text_model.encoder.layers.0.mlp.fc1'],
    ['text_encoder_2.text_projection', 'text_encoder_2', 'text_projection'],
    ['head', null, 'head'],
  ])('%s', (stem, component, path) => expect(parseStem(stem)).toMatchObject({ component, path }));
});
