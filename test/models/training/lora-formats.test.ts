import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as property } from '@fast-check/vitest';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, f64, fromNumbers, i64, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { loraBase } from '#models/training/lora-base.ts';
import type { LoraAdapter, LoraModule } from '#models/training/lora-formats/adapter.ts';
import { firstDifference } from '#models/training/lora-formats/compare.ts';
import { inspectLora, readLora } from '#models/training/lora-formats/read.ts';
import { type LoraFormat, writeLora } from '#models/training/lora-formats/write.ts';
import type { LoraComponent } from '#models/training/lora-names.ts';
import { originalName, SDXL_LAYOUT } from '#models/training/lora-unet-blocks.ts';
import { randomTensor } from './lora-network.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-formats-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const fresh = (ending = '.safetensors') => join(folder, `${count++}${ending}`);
const code = (expected: string, message = /./) =>
  expect.objectContaining({ name: 'NorthlightError', code: expected, message: expect.stringMatching(message) });

type Row = readonly [path: string, kind: string, shape: readonly number[]];
const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', '..', 'golden', 'unet-modules.json'), 'utf8'),
) as Record<'sd15' | 'sdxl', { modules: Row[] }>;

/** Rank-1 adapters of zeros: only names and shapes matter. */
function moduleOf([module, , shape]: Row, component: LoraComponent = 'denoiser'): LoraModule {
  const [out, ...rest] = shape as [number, ...number[]];
  const down = f32([1, ...rest], new Float32Array(rest.reduce((a, b) => a * b, 1)));
  const up = f32([out, 1, ...rest.slice(1).map(() => 1)], new Float32Array(out));
  return { component, module, stem: module, down, up, alpha: 1 };
}

/** Attention and feed-forward layers: what kohya's scripts adapt by default. */
const transformers = (model: 'sd15' | 'sdxl') =>
  golden[model].modules.filter(([path]) => path.includes('.attentions.'));
const clipLayers = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.out_proj',
  'mlp.fc1',
  'mlp.fc2',
];
const clip = (component: LoraComponent, depth: number, width: number): LoraModule[] =>
  Array.from({ length: depth }, (_, i) =>
    clipLayers.map((layer) =>
      moduleOf(
        [
          `text_model.encoder.layers.${i}.${layer}`,
          'Linear',
          layer === 'mlp.fc1' ? [4 * width, width] : layer === 'mlp.fc2' ? [width, 4 * width] : [width, width],
        ],
        component,
      ),
    ),
  ).flat();

const adapterOf = (modules: readonly LoraModule[]): LoraAdapter => ({ modules, metadata: new Map() });
const sd15 = adapterOf([...transformers('sd15').map((row) => moduleOf(row)), ...clip('text_encoder', 12, 768)]);
const sdxl = adapterOf([
  ...transformers('sdxl').map((row) => moduleOf(row)),
  ...clip('text_encoder', 12, 768),
  ...clip('text_encoder_2', 32, 1280),
]);

/** Stems of a kohya file. */
function stems(adapter: LoraAdapter, options: Parameters<typeof writeLora>[2] = {}): string[] {
  const path = fresh();
  writeLora(path, adapter, options);
  const { tensors } = readSafetensors(path);
  const keys = [...tensors.keys()];
  const found = keys.filter((key) => key.endsWith('.alpha')).map((key) => key.slice(0, -'.alpha'.length));
  const ends = ['alpha', 'lora_down.weight', 'lora_up.weight'];
  expect(keys.sort()).toEqual(found.flatMap((stem) => ends.map((end) => `${stem}.${end}`)).sort());
  return found.sort();
}

const flat = (path: string) => path.replaceAll('.', '_');

describe('keys of kohya files', () => {
  test('Stable Diffusion 1.5: the names of all 192 attention and feed-forward layers and of its one text encoder', () => {
    expect(transformers('sd15')).toHaveLength(192);
    const found = stems(sd15);
    expect(found).toEqual(
      [
        ...transformers('sd15').map(([path]) => `lora_unet_${flat(path)}`),
        ...clip('text_encoder', 12, 768).map((m) => `lora_te_${flat(m.module)}`),
      ].sort(),
    );
    expect(found).toContain('lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q');
    expect(found).toContain('lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_ff_net_0_proj');
    expect(found).toContain('lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0');
    expect(found).toContain('lora_te_text_model_encoder_layers_0_self_attn_q_proj');
    expect(found.filter((stem) => /^lora_te[12]_/.test(stem))).toEqual([]);
  });

  test('SDXL: the original names of all 722 layers and of both text encoders; diffusers names when asked', () => {
    expect(transformers('sdxl')).toHaveLength(722);
    const text = [...clip('text_encoder', 12, 768), ...clip('text_encoder_2', 32, 1280)].map(
      (m) => `lora_te${m.component === 'text_encoder' ? 1 : 2}_${flat(m.module)}`,
    );
    const found = stems(sdxl);
    expect(found).toEqual(
      [...transformers('sdxl').map(([path]) => `lora_unet_${flat(originalName(path, SDXL_LAYOUT)!)}`), ...text].sort(),
    );
    expect(found).toContain('lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q');
    expect(found).toContain('lora_unet_middle_block_1_transformer_blocks_9_ff_net_0_proj');
    expect(found).toContain('lora_unet_output_blocks_5_1_proj_out');
    expect(stems(sdxl, { naming: 'diffusers' })).toEqual(
      [...transformers('sdxl').map(([path]) => `lora_unet_${flat(path)}`), ...text].sort(),
    );
  });

  test('the header says which base model, ranks and alphas, and nothing about the person', () => {
    const path = fresh();
    const conv = { ...moduleOf(['down_blocks.0.resnets.0.conv1', 'Conv2d', [320, 320, 3, 3]]), alpha: 0.5 };
    writeLora(path, { modules: [...sdxl.modules, conv], metadata: new Map([['reward', 'warmth']]) });
    expect(Object.fromEntries(readSafetensors(path).metadata)).toEqual({
      ss_base_model_version: 'sdxl_base_v1-0',
      ss_v2: 'False',
      ss_network_module: 'networks.lora',
      ss_network_dim: '1',
      ss_network_alpha: '1',
      ss_network_args: '{"conv_dim":"1","conv_alpha":"0.5"}',
      'northlight.reward': 'warmth',
    });
  });
});

test('the base model is told from widths and names', () => {
  const cross = (width: number) =>
    loraBase([moduleOf(['mid_block.attentions.0.transformer_blocks.0.attn2.to_k', 'Linear', [8, width]])]);
  expect([cross(768), cross(1024), cross(2048), cross(12)]).toEqual(['sd1', 'sd2', 'sdxl', 'other']);
  const named = (path: string, component: LoraComponent = 'denoiser', metadata: [string, string][] = []) =>
    loraBase([moduleOf([path, 'Linear', [8, 8]], component)], new Map(metadata));
  expect(named('transformer_blocks.0.attn.add_q_proj')).toBe('sd3');
  expect(named('single_transformer_blocks.0.attn.to_q')).toBe('flux');
  expect(named('mid_block.attentions.0.transformer_blocks.5.attn1.to_q')).toBe('sdxl');
  expect(named('text_model.encoder.layers.0.mlp.fc1', 'text_encoder_2')).toBe('sdxl');
  expect(named('text_model.encoder.layers.0.mlp.fc1', 'text_encoder', [['ss_base_model_version', 'sd_v2_v']])).toBe(
    'sd2',
  );
  expect(named('down.0.attn.to_q')).toBe('other');
});

describe('round trips', () => {
  const names = [...golden.sd15.modules, ...golden.sdxl.modules].map(([path]) => path);
  const odd = ['down0_attn.attn1.to_q', 'head', 'a_b.c', 'blocks.0.q', 'time.fc1'];
  const oneModule = fc.record({
    component: fc.constantFrom<LoraComponent>('denoiser', 'denoiser', 'text_encoder', 'text_encoder_2'),
    module: fc.constantFrom(...names, ...odd),
    rank: fc.integer({ min: 1, max: 3 }),
    alpha: fc.double({ min: 0.001, max: 64, noNaN: true }),
    kernel: fc.constantFrom([], [1, 1], [3, 3]),
    seed: fc.integer(),
  });
  const adapters = fc
    .uniqueArray(oneModule, { minLength: 1, maxLength: 6, selector: (m) => `${m.component} ${m.module}` })
    .map((list) =>
      adapterOf(
        list.map(({ component, module, rank, alpha, kernel, seed }) => ({
          component,
          module,
          stem: module,
          alpha,
          down: randomTensor(new Rng(seed), [rank, 3, ...kernel]),
          up: randomTensor(new Rng(seed + 1), [2, rank, ...kernel.map(() => 1)]),
        })),
      ),
    );
  const formats: readonly [string, (path: string, a: LoraAdapter) => void, string][] = [
    ['kohya', (path, a) => writeLora(path, a), '.safetensors'],
    [
      'kohya with original names',
      (path, a) => writeLora(path, a, { base: 'sdxl', naming: 'original' }),
      '.safetensors',
    ],
    ['diffusers', (path, a) => writeLora(path, a, { format: 'diffusers' }), '.safetensors'],
    ['a folder of diffusers', (path, a) => writeLora(path, a, { format: 'diffusers' }), ''],
    ['PEFT', (path, a) => writeLora(path, a, { format: 'peft' }), ''],
  ];

  test.each(formats)('%s: every delta comes back bit for bit', (_, write, ending) => {
    fc.assert(
      fc.property(adapters, (adapter) => {
        const path = fresh(ending);
        write(path, adapter);
        expect(firstDifference(adapter, readLora(path))).toBeUndefined();
      }),
      { numRuns: 8 },
    );
  });

  property.prop([adapters], { numRuns: 8 })(
    'kohya → diffusers → PEFT → kohya: the deltas and all other texts stay, and the last file is the first, byte for byte',
    (adapter) => {
      const chain: LoraFormat[] = ['kohya', 'diffusers', 'peft', 'kohya'];
      let current: LoraAdapter = {
        ...adapter,
        metadata: new Map([
          ['northlight.reward', 'warmth'],
          ['ss_seed', '4'],
        ]),
      };
      const files: string[] = [];
      for (const format of chain) {
        const path = fresh(format === 'peft' ? '' : '.safetensors');
        writeLora(path, current, { format, base: 'sd1' });
        current = readLora(path);
        expect(firstDifference(adapter, current), format).toBeUndefined();
        expect([current.metadata.get('northlight.reward'), current.metadata.get('ss_seed')]).toEqual(['warmth', '4']);
        files.push(path);
      }
      expect(Buffer.compare(readFileSync(files[0]!), readFileSync(files[3]!))).toBe(0);
    },
  );

  test('the comparison sees a changed bit, name, alpha and number of modules', () => {
    const [m] = sd15.modules as [LoraModule];
    const one = adapterOf([m]);
    expect(firstDifference(one, one)).toBeUndefined();
    const up = { ...m.up, data: Float32Array.from(m.up.data as Float32Array, (v, i) => (i === 7 ? 1e-45 : v)) };
    expect(firstDifference(one, adapterOf([{ ...m, up }]))).toMatch(/up part/);
    expect(firstDifference(one, adapterOf([{ ...m, alpha: 1 + 2 ** -52 }]))).toMatch(/alpha/);
    expect(firstDifference(one, adapterOf([{ ...m, module: 'x' }]))).toMatch(/no module/);
    expect(firstDifference(one, adapterOf([m, { ...m, module: 'x' }]))).toMatch(/1 modules against 2/);
  });
});

describe('what is written for diffusers and PEFT', () => {
  const module = 'down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k';
  const a = { ...moduleOf([module, 'Linear', [8, 768]]), alpha: 4 };
  const b = { ...moduleOf(['mid_block.attentions.0.proj_in', 'Conv2d', [8, 8, 1, 1]]), alpha: 2 };
  const t = moduleOf(['text_model.encoder.layers.0.mlp.fc1', 'Linear', [8, 8]], 'text_encoder');

  test('diffusers: keys of its networks, and the configuration of each in the header', () => {
    const path = fresh('');
    expect(writeLora(path, adapterOf([a, b, t]), { format: 'diffusers' })).toEqual([
      join(path, 'pytorch_lora_weights.safetensors'),
    ]);
    const { tensors, metadata } = readSafetensors(join(path, 'pytorch_lora_weights.safetensors'));
    expect([...tensors.keys()].sort()).toEqual(
      ['unet', 'unet', 'text_encoder']
        .flatMap((n, i) => ['A', 'B'].map((h) => `${n}.${[a, b, t][i]!.module}.lora_${h}.weight`))
        .sort(),
    );
    expect(metadata.get('format')).toBe('pt');
    expect(JSON.parse(metadata.get('lora_adapter_metadata')!)).toMatchObject({
      'unet.r': 1,
      'unet.lora_alpha': 4,
      'unet.alpha_pattern': { '^mid_block\\.attentions\\.0\\.proj_in': 2 },
      'unet.target_modules': [module, b.module],
      'text_encoder.lora_alpha': 1,
      'text_encoder.peft_type': 'LORA',
    });
  });

  test('transformers of Flux and SD3 go by their own network name in every format', () => {
    const flux = adapterOf([moduleOf(['single_transformer_blocks.0.attn.to_q', 'Linear', [8, 8]])]);
    const path = fresh();
    writeLora(path, flux, { format: 'diffusers' });
    expect([...readSafetensors(path).tensors.keys()]).toContain(
      'transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight',
    );
    expect(stems(flux)).toEqual(['lora_transformer_single_transformer_blocks_0_attn_to_q']);
  });

  test('PEFT: one folder for one network, and a folder in it for each of several', () => {
    const one = fresh('');
    writeLora(one, adapterOf([a, b]), { format: 'peft' });
    expect(readdirSync(one).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    const config = JSON.parse(readFileSync(join(one, 'adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({
      peft_type: 'LORA',
      r: 1,
      lora_alpha: 4,
      use_rslora: false,
      use_dora: false,
      bias: 'none',
    });
    expect([...readSafetensors(join(one, 'adapter_model.safetensors')).tensors.keys()]).toContain(
      `base_model.model.${module}.lora_A.weight`,
    );
    const two = fresh('');
    writeLora(two, adapterOf([a, t]), { format: 'peft' });
    expect(readdirSync(two).sort()).toEqual(['text_encoder', 'unet']);
    expect(
      readLora(two)
        .modules.map((m) => m.component)
        .sort(),
    ).toEqual(['denoiser', 'text_encoder']);
  });

  test('what cannot be written leaves nothing behind', () => {
    const bad = { ...a, up: f32([8, 1], new Float32Array(8).fill(Number.POSITIVE_INFINITY)) };
    const half = { ...a, up: fromNumbers('float16', [8, 1], new Array(8).fill(Number.NaN)) };
    const twins = [a, { ...a, module: module.replaceAll('.', '_') }];
    for (const [modules, error] of [
      [[bad], 'lora/not-finite'],
      [[half], 'lora/not-finite'],
      [[], 'lora/empty'],
      [twins, 'lora/key-collision'],
    ] as const) {
      const path = fresh();
      expect(() => writeLora(path, adapterOf(modules))).toThrow(code(error));
      expect(existsSync(path)).toBe(false);
    }
    const nameless = adapterOf([moduleOf(['conv_in', 'Conv2d', [8, 4, 3, 3]])]);
    expect(() => writeLora(fresh(), nameless, { naming: 'original' })).toThrow(code('lora/no-layout'));
    const file = fresh('');
    writeFileSync(file, '');
    expect(() => writeLora(file, adapterOf([a]), { format: 'peft' })).toThrow(code('lora/not-folder'));
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

describe('reading what other tools write', () => {
  const module = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0';
  const down = randomTensor(new Rng(1), [2, 3]);
  const up = randomTensor(new Rng(2), [4, 2]);

  function read(keys: Record<string, Tensor>, metadata: [string, string][] = []) {
    const path = fresh();
    writeSafetensors(path, new Map(Object.entries(keys)), new Map(metadata));
    return readLora(path);
  }
  const pair = (a: string, b: string) => ({ [a]: down, [b]: up });
  const stem = flat(module);

  test.each([
    ['kohya', pair(`lora_unet_${stem}.lora_down.weight`, `lora_unet_${stem}.lora_up.weight`)],
    [
      'kohya',
      pair(
        'lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_out_0.lora_down.weight',
        'lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_out_0.lora_up.weight',
      ),
    ],
    ['diffusers', pair(`unet.${module}.lora_A.weight`, `unet.${module}.lora_B.weight`)],
    ['diffusers (lora.down)', pair(`unet.${module}.lora.down.weight`, `unet.${module}.lora.up.weight`)],
    ...['unet.', ''].map(
      (prefix) =>
        [
          'diffusers (attention processors)',
          pair(
            `${prefix}down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.down.weight`,
            `${prefix}down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.up.weight`,
          ),
        ] as const,
    ),
    ['peft', pair(`base_model.model.${module}.lora_A.weight`, `base_model.model.${module}.lora_B.weight`)],
    [
      'peft',
      pair(`base_model.model.${module}.lora_A.default.weight`, `base_model.model.${module}.lora_B.default.weight`),
    ],
    ['generic', pair(`diffusion_model.${module}.lora_A.weight`, `diffusion_model.${module}.lora_B.weight`)],
    [
      'generic',
      pair(
        'diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.lora_up.weight',
        'diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.lora_down.weight',
      ),
    ],
  ] as const)('%s: %j', (spelling, keys) => {
    // The last row names its halves the other way round.
    const swapped = Object.keys(keys)[0]!.includes('lora_up');
    const found = read(
      swapped ? Object.fromEntries(Object.keys(keys).map((k) => [k, k.includes('down') ? down : up])) : keys,
    );
    expect(found.spelling).toBe(spelling);
    expect(found.others).toEqual([]);
    expect(found.modules).toMatchObject([{ module, alpha: 2 }]);
    expect([found.modules[0]!.down, found.modules[0]!.up]).toEqual([down, up]);
    expect([null, 'denoiser']).toContain(found.modules[0]!.component);
  });

  test('text encoders: the layers of the first generation and of today are the same', () => {
    const q = 'text_model.encoder.layers.0.self_attn.q_proj';
    for (const keys of [
      pair(`text_encoder.${q}.lora_linear_layer.down.weight`, `text_encoder.${q}.lora_linear_layer.up.weight`),
      pair(`text_encoder.${q}.lora_A.weight`, `text_encoder.${q}.lora_B.weight`),
      pair(`lora_te_${flat(q)}.lora_down.weight`, `lora_te_${flat(q)}.lora_up.weight`),
      pair(`lora_te1_${flat(q)}.lora_down.weight`, `lora_te1_${flat(q)}.lora_up.weight`),
    ]) {
      expect(read(keys).modules).toMatchObject([{ component: 'text_encoder', module: q, alpha: 2 }]);
    }
  });

  test('alpha: float, double, integer, of one element; zero and missing mean the rank', () => {
    const alphaOf = (alpha: Tensor | undefined, metadata: [string, string][] = []) =>
      read(
        {
          ...pair(`lora_unet_${stem}.lora_down.weight`, `lora_unet_${stem}.lora_up.weight`),
          ...(alpha ? { [`lora_unet_${stem}.alpha`]: alpha } : {}),
        },
        metadata,
      ).modules[0]!.alpha;
    expect(alphaOf(f32([], [8]))).toBe(8);
    expect(alphaOf(f64([], [0.3]))).toBe(0.3);
    expect(alphaOf(i64([], [16]))).toBe(16);
    expect(alphaOf(fromNumbers('float16', [1], [0.5]))).toBe(0.5);
    expect(alphaOf(fromNumbers('bfloat16', [], [4]))).toBe(4);
    expect(alphaOf(f32([], [0]))).toBe(2);
    expect(alphaOf(undefined)).toBe(2);
    // The header's number is exact where the tensor was rounded, and does not stand in for another one.
    expect(alphaOf(f32([], [0.3]), [['ss_network_alpha', '0.3']])).toBe(0.3);
    expect(alphaOf(f32([], [0.5]), [['ss_network_alpha', '0.3']])).toBe(0.5);
  });

  test('matrices of 16 bits keep their bits', () => {
    for (const dtype of ['float16', 'bfloat16'] as const) {
      const halves = [fromNumbers(dtype, [2, 3], toNumbers(down)), fromNumbers(dtype, [4, 2], toNumbers(up))];
      const keys = {
        [`lora_unet_${stem}.lora_down.weight`]: halves[0]!,
        [`lora_unet_${stem}.lora_up.weight`]: halves[1]!,
      };
      expect(read(keys).modules).toMatchObject([{ down: halves[0], up: halves[1] }]);
    }
  });

  test('PEFT: rank-stabilised scale, and patterns over the end of a path', () => {
    const path = fresh('');
    mkdirSync(path);
    const keys = ['a.to_q', 'b.to_q', 'b.to_k'].flatMap((m) =>
      Object.entries(pair(`base_model.model.${m}.lora_A.weight`, `base_model.model.${m}.lora_B.weight`)),
    );
    writeSafetensors(join(path, 'adapter_model.safetensors'), new Map(keys));
    const alphas = (config: object) => {
      writeFileSync(
        join(path, 'adapter_config.json'),
        JSON.stringify({ peft_type: 'LORA', r: 2, lora_alpha: 6, ...config }),
      );
      return Object.fromEntries(readLora(path).modules.map((m) => [m.module, m.alpha]));
    };
    expect(alphas({})).toEqual({ 'a.to_q': 6, 'b.to_q': 6, 'b.to_k': 6 });
    expect(alphas({ alpha_pattern: { to_q: 3 } })).toEqual({ 'a.to_q': 3, 'b.to_q': 3, 'b.to_k': 6 });
    expect(alphas({ alpha_pattern: { '^b.to_q': 3, '[ab]\\.to_k': 5 } })).toEqual({
      'a.to_q': 6,
      'b.to_q': 3,
      'b.to_k': 5,
    });
    expect(alphas({ alpha_pattern: { o_q: 3 } })).toEqual({ 'a.to_q': 6, 'b.to_q': 6, 'b.to_k': 6 });
    // 6 / √2 of the product is what alpha / rank must give.
    expect(alphas({ use_rslora: true })['a.to_q']! / 2).toBeCloseTo(6 / Math.sqrt(2), 12);
    expect(() => alphas({ use_dora: true })).toThrow(code('lora/unsupported', /not supported: DoRA/));
    expect(() => alphas({ peft_type: 'LOHA' })).toThrow(code('lora/unsupported', /LOHA/));
    expect(() => alphas({ bias: 'all' })).toThrow(code('lora/unsupported', /biases/));
    expect(() => alphas({ lora_alpha: 'x' })).toThrow(code('lora/config', /adapter_config\.json.*lora_alpha/));
    writeFileSync(join(path, 'adapter_config.json'), 'no json');
    expect(() => readLora(path)).toThrow(code('lora/config'));
    // The weights' own path finds the configuration too.
    alphas({});
    expect(readLora(join(path, 'adapter_model.safetensors')).modules[0]!.alpha).toBe(6);
  });

  test('fused layers of the original Flux and SD3 code are those of diffusers: the same rows, in order', () => {
    const cases: [string, string[], number][] = [
      [
        'lora_unet_double_blocks_1_img_attn_qkv',
        ['to_q', 'to_k', 'to_v'].map((p) => `transformer_blocks.1.attn.${p}`),
        9,
      ],
      [
        'lora_unet_single_blocks_2_linear1',
        ['attn.to_q', 'attn.to_k', 'attn.to_v', 'proj_mlp'].map((p) => `single_transformer_blocks.2.${p}`),
        21,
      ],
      ['lora_unet_double_blocks_0_txt_attn_proj', ['transformer_blocks.0.attn.to_add_out'], 3],
      [
        'transformer.joint_blocks.3.context_block.attn.qkv',
        ['q', 'k', 'v'].map((p) => `transformer_blocks.3.attn.add_${p}_proj`),
        9,
      ],
    ];
    for (const [name, paths, out] of cases) {
      const tall = randomTensor(new Rng(3), [out, 2]);
      const { modules } = read({ [`${name}.lora_down.weight`]: down, [`${name}.lora_up.weight`]: tall });
      expect(modules.map((m) => m.module)).toEqual(paths);
      expect(modules.flatMap((m) => toNumbers(m.up))).toEqual(toNumbers(tall));
      for (const m of modules.slice(0, 3)) expect([m.up.dims, m.down]).toEqual([[3, 2], down]);
    }
  });

  test('the T5 encoder is the third of SD3 and the second of Flux', () => {
    const t5 = 'lora_te3_encoder_block_0_layer_0_SelfAttention_q';
    const text = pair(`${t5}.lora_down.weight`, `${t5}.lora_up.weight`);
    const componentWith = (other: string) =>
      read({ ...text, ...pair(`${other}.lora_down.weight`, `${other}.lora_up.weight`) }).modules.find(
        (m) => m.stem === t5,
      )!.component;
    expect(componentWith('lora_transformer_single_transformer_blocks_0_attn_to_q')).toBe('text_encoder_2');
    expect(componentWith('lora_transformer_transformer_blocks_0_attn_add_q_proj')).toBe('text_encoder_3');
  });
});

describe('refusals', () => {
  const good = (stem: string) => ({
    [`${stem}.lora_down.weight`]: f32([1, 2], [1, 2]),
    [`${stem}.lora_up.weight`]: f32([2, 1], [1, 2]),
  });
  const written = (keys: Record<string, Tensor>) => {
    const path = fresh();
    writeSafetensors(path, new Map(Object.entries(keys)));
    return path;
  };
  const one = f32([1], [1]);

  test.each([
    ['lora_unet_a.dora_scale', 'DoRA'],
    ['base_model.model.a.lora_magnitude_vector.weight', 'DoRA'],
    ['lora_unet_a.lora_mid.weight', 'lora_mid'],
    ['lora_unet_a.hada_w1_a', 'LoHa'],
    ['lora_unet_a.lokr_w1', 'LoKr'],
    ['lora_unet_a.diff', 'norms or biases'],
    ['lora_unet_a.diff_b', 'norms or biases'],
    ['lora_unet_a.w_norm', 'norms or biases'],
    ['lora_unet_a.reshape_weight', 'reshaped'],
    ['lora_unet_a.oft_blocks', 'OFT'],
    ['a.lora_B.bias', 'biases'],
    ['a.lora_embedding_A', 'embeddings'],
  ])('%s is %s, and says so', (key, kind) => {
    const path = written({ ...good('lora_unet_a'), [key]: one });
    expect(() => readLora(path)).toThrow(
      code('lora/unsupported', new RegExp(`not supported: .*${kind.replace('(', '\\(')}`)),
    );
    expect(inspectLora(path).unsupported).toMatchObject([{ key }]);
    expect(inspectLora(path).modules).toHaveLength(1);
  });

  test('halves, ranks that disagree, files without pairs and empty folders', () => {
    const { 'a.lora_up.weight': up, ...half } = good('a');
    expect(() => readLora(written(half))).toThrow(code('lora/incomplete', /"a" has only its down part/));
    expect(() => readLora(written({ ...half, 'a.lora_up.weight': f32([1, 2], [1, 2]) }))).toThrow(
      code('lora/rank-mismatch'),
    );
    expect(() => readLora(written({ ...good('a'), 'b.alpha': one }))).toThrow(
      code('lora/incomplete', /only its alpha/),
    );
    expect(() => readLora(written({ 'conv.weight': up! }))).toThrow(code('lora/none'));
    const empty = fresh('');
    mkdirSync(empty);
    expect(() => readLora(empty)).toThrow(code('lora/no-file'));
    expect(() => readLora(join(empty, 'x.safetensors'))).toThrow(code('file/missing'));
  });
});
