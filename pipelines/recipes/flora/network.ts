import { Layers } from '#models/families/layers.ts';
import type { Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';

export interface FloraConfig {
  readonly size: number;
  /** Channels of the three grids: size/2, size/4, size/8. */
  readonly channels: readonly [number, number, number];
  readonly heads: number;
  readonly textWidth: number;
  readonly textLayers: number;
  readonly vocabulary: number;
  readonly padId: number;
  /** Tokens per caption, the start token included. */
  readonly tokens: number;
  readonly embedding: number;
}

const BATCH_AXIS = ['batch'] as const;
const freeBatch = (v: Value): (number | string)[] => [...BATCH_AXIS, ...v.dims.slice(1)];

/**
 * A small transformer over word tokens: `input_ids` int64 `[B, T]` → `last_hidden_state` float32 `[B, T, D]`. The first token
 * also carries the plain sum of the word embeddings: attention alone learned the background, which covers most pixels, then
 * saturated on its words and left the others without a gradient.
 */
export function buildTextEncoder(config: FloraConfig, seed: number): Model {
  const op = createBuilder();
  const l = new Layers(op, new Rng(seed).fork('text-encoder'));
  const ids = op.input('input_ids', 'int64', [1, config.tokens]);
  const d = config.textWidth;
  const words = op.gather(l.weight('token_embedding.weight', [config.vocabulary, d], 0.5), ids, 0);
  let x = op.add2(words, l.weight('position_embedding.weight', [config.tokens, d], 0.1));
  const isPad = op.cast(op.apply('Equal', [ids, op.scalar(config.padId, 'int64')]), 'float32');
  const mask = op.apply('Unsqueeze', [op.mulScalar(isPad, -1e4), op.i64([1, 2])]);
  for (let i = 0; i < config.textLayers; i++) {
    l.scope(`layers.${i}`, () => {
      const h = l.layerNorm('norm1', x);
      x = op.add2(x, l.attention('attn', h, h, config.heads, mask));
      const f = l.silu(l.linear('fc1', l.layerNorm('norm2', x), d * 2));
      x = op.add2(x, l.linear('fc2', f, d, { zero: true }));
    });
  }
  const y = l.layerNorm('final_norm', x);
  const isWord = op.apply('Unsqueeze', [op.sub(op.scalar(1), isPad), op.i64([2])]);
  const sum = op.reduceSum(op.mul(words, isWord), [1]);
  const first = op.add2(op.slice(y, 1, 0, 1), sum);
  op.output(op.concat([first, op.slice(y, 1, 1, config.tokens)], 1), 'last_hidden_state');
  return op.toModel('flora-text-encoder', freeBatch);
}

/**
 * The denoiser: `sample` `[B, 3, S, S]` in −1…1, `timestep` int64 `[B]`, `encoder_hidden_states` `[B, T, D]` →
 * `out_sample` (v-prediction). A space-to-depth stem keeps all work at half the resolution. Residual blocks are modulated
 * by time and the caption's first token (adaptive group norm, Dhariwal and Nichol 2021, arXiv:2105.05233); the two coarser
 * grids also attend to every token.
 */
export function buildUnet(config: FloraConfig, seed: number): Model {
  const op = createBuilder();
  const l = new Layers(op, new Rng(seed).fork('unet'));
  const { size, channels, heads, embedding } = config;
  const [c0, c1, c2] = channels;
  const sample = op.input('sample', 'float32', [1, 3, size, size]);
  const timestep = op.input('timestep', 'int64', [1]);
  const context = op.input('encoder_hidden_states', 'float32', [1, config.tokens, config.textWidth]);

  const time = l.scope('time', () =>
    l.linear('fc2', l.silu(l.linear('fc1', l.timestepEmbedding(timestep, 64), embedding)), embedding),
  );
  const first = op.apply('Squeeze', [op.slice(context, 1, 0, 1), op.i64([1])]);
  const pooled = l.scope('caption', () => l.linear('fc2', l.silu(l.linear('fc1', first, embedding)), embedding));
  const emb = l.silu(op.add2(time, pooled));
  const groups = 8;

  const resBlock = (name: string, x: Value, out: number): Value =>
    l.scope(name, () => {
      const [h, w] = x.dims.slice(2) as [number, number];
      let y = l.conv('conv1', l.silu(l.groupNorm('norm1', x, groups)), out, 3);
      const [scale, shift] = op.split(
        l.batchReshape(l.linear('modulation', emb, 2 * out, { zero: true }), [2 * out, 1, 1]),
        1,
        [out, out],
      ) as [Value, Value];
      y = op.add2(op.mul(l.groupStandardize(y, groups), op.addScalar(scale, 1)), shift);
      y = l.conv('conv2', l.silu(y), out, 3, { zero: true });
      const skip = x.dims[1] === out ? x : l.conv('skip', x, out, 1);
      if (y.dims[2] !== h || y.dims[3] !== w) throw new RangeError(`${name} changed the grid`);
      return op.add2(skip, y);
    });

  const transformer = (name: string, x: Value, selfAttention: boolean): Value =>
    l.scope(name, () => {
      const [, c, h, w] = x.dims as [number, number, number, number];
      let t = op.transpose(l.batchReshape(x, [c, h * w]), [0, 2, 1]);
      if (selfAttention) {
        const n = l.layerNorm('norm1', t);
        t = op.add2(t, l.attention('attn1', n, n, heads));
      }
      t = op.add2(t, l.attention('attn2', l.layerNorm('norm2', t), context, heads));
      if (selfAttention)
        t = op.add2(t, l.linear('ff.2', l.silu(l.linear('ff.0', l.layerNorm('norm3', t), 2 * c)), c, { zero: true }));
      return l.batchReshape(op.transpose(t, [0, 2, 1]), [c, h, w]);
    });

  const enlarge = (x: Value): Value =>
    op.apply('Resize', [x, null, op.f32([4], [1, 1, 2, 2])], {
      mode: 'nearest',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: 'floor',
    });

  let x = l.conv('conv_in', op.apply('SpaceToDepth', [sample], { blocksize: 2 }), c0, 3);
  const skip0 = resBlock('down.0.res', x, c0);
  x = l.conv('down.0.sample', skip0, c1, 3, { stride: 2 });
  const skip1 = transformer('down.1.attn', resBlock('down.1.res', x, c1), false);
  x = l.conv('down.1.sample', skip1, c2, 3, { stride: 2 });
  const skip2 = transformer('down.2.attn', resBlock('down.2.res', x, c2), true);
  x = resBlock('mid.res', skip2, c2);
  x = transformer('up.2.attn', resBlock('up.2.res', op.concat([x, skip2], 1), c2), true);
  x = enlarge(l.conv('up.2.sample', x, c1, 1));
  x = transformer('up.1.attn', resBlock('up.1.res', op.concat([x, skip1], 1), c1), false);
  x = enlarge(l.conv('up.1.sample', x, c0, 1));
  x = resBlock('up.0.res', op.concat([x, skip0], 1), c0);
  x = resBlock('up.0.res2', x, c0);
  x = l.conv('conv_out', l.silu(l.groupNorm('norm_out', x, groups)), 12, 3, { zero: true });
  op.output(op.apply('DepthToSpace', [x], { blocksize: 2, mode: 'DCR' }), 'out_sample');
  return op.toModel('flora-unet', freeBatch);
}
