import { Layers } from '#models/families/layers.ts';
import type { Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';

const CHANNELS = [64, 128, 256] as const;
const HEADS = 8;
const GROUPS = 32;
const CONTEXT_WIDTH = 256;

/**
 * A latent denoiser with the plan of Rombach et al. 2022 (arXiv:2112.10752): two residual blocks per grid on the way down,
 * three on the way up, a transformer (self-attention, cross-attention, gated feed-forward) after each on the two finer
 * grids and in the middle. About 17 M parameters; `sample` `[B, 4, 32, 32]`, `timestep` `[B]`,
 * `encoder_hidden_states` `[B, tokens, 256]`.
 */
export function buildAttentionUnet(tokens = 77): Model {
  const op = createBuilder();
  const l = new Layers(op, new Rng(5).fork('attention-unet'));
  const sample = op.input('sample', 'float32', [1, 4, 32, 32]);
  const timestep = op.input('timestep', 'int64', [1]);
  const context = op.input('encoder_hidden_states', 'float32', [1, tokens, CONTEXT_WIDTH]);
  const width = 4 * CHANNELS[0];
  const emb = l.silu(
    l.linear('time.fc2', l.silu(l.linear('time.fc1', l.timestepEmbedding(timestep, CHANNELS[0]), width)), width),
  );

  const residual = (name: string, x: Value, out: number): Value =>
    l.scope(name, () => {
      let y = l.conv('conv1', l.silu(l.groupNorm('norm1', x, GROUPS)), out, 3);
      y = op.add2(y, l.batchReshape(l.linear('time', emb, out), [out, 1, 1]));
      y = l.conv('conv2', l.silu(l.groupNorm('norm2', y, GROUPS)), out, 3);
      return op.add2(x.dims[1] === out ? x : l.conv('skip', x, out, 1), y);
    });

  const transformer = (name: string, x: Value): Value =>
    l.scope(name, () => {
      const [, c, h, w] = x.dims as [number, number, number, number];
      const y = l.conv('proj_in', l.groupNorm('norm', x, GROUPS), c, 1);
      let t = op.transpose(l.batchReshape(y, [c, h * w]), [0, 2, 1]);
      const n = l.layerNorm('norm1', t);
      t = op.add2(t, l.attention('attn1', n, n, HEADS));
      t = op.add2(t, l.attention('attn2', l.layerNorm('norm2', t), context, HEADS));
      const [value, gate] = op.split(l.linear('ff.0', l.layerNorm('norm3', t), 8 * c), 2, [4 * c, 4 * c]) as [
        Value,
        Value,
      ];
      t = op.add2(t, l.linear('ff.2', op.mul(value, op.apply('Gelu', [gate])), c));
      return op.add2(x, l.conv('proj_out', l.batchReshape(op.transpose(t, [0, 2, 1]), [c, h, w]), c, 1));
    });

  const enlarge = (x: Value): Value =>
    op.apply('Resize', [x, null, op.f32([4], [1, 1, 2, 2])], {
      mode: 'nearest',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: 'floor',
    });

  let x = l.conv('conv_in', sample, CHANNELS[0], 3);
  const skips = [x];
  for (const [i, c] of CHANNELS.entries()) {
    for (const j of [0, 1]) {
      x = residual(`down.${i}.${j}.res`, x, c);
      if (i < 2) x = transformer(`down.${i}.${j}.attn`, x);
      skips.push(x);
    }
    if (i < 2) {
      x = l.conv(`down.${i}.sample`, x, c, 3, { stride: 2 });
      skips.push(x);
    }
  }
  x = residual('mid.0', transformer('mid.attn', residual('mid.1', x, CHANNELS[2])), CHANNELS[2]);
  for (const i of [2, 1, 0]) {
    const c = CHANNELS[i]!;
    for (const j of [0, 1, 2]) {
      x = residual(`up.${i}.${j}.res`, op.concat([x, skips.pop()!], 1), c);
      if (i < 2) x = transformer(`up.${i}.${j}.attn`, x);
    }
    if (i > 0) x = l.conv(`up.${i}.sample`, enlarge(x), c, 3);
  }
  x = l.conv('conv_out', l.silu(l.groupNorm('norm_out', x, GROUPS)), 4, 3);
  op.output(x, 'out_sample');
  return op.toModel('attention-unet', (v) => ['batch', ...v.dims.slice(1)]);
}
