import { Layers } from '#models/families/layers.ts';
import type { Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';

export interface DitPlan {
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  /** Latent height and width; patches are 2×2. */
  readonly size: number;
}

/**
 * A diffusion transformer with adaLN blocks (Peebles and Xie 2023, arXiv:2212.09748, sec. 3.2): `sample` `[B, 4, size, size]`,
 * `timestep` `[B]`.
 */
export function buildDit({ width, depth, heads, size }: DitPlan): Model {
  const op = createBuilder();
  const l = new Layers(op, new Rng(6).fork('dit'));
  const sample = op.input('sample', 'float32', [1, 4, size, size]);
  const timestep = op.input('timestep', 'int64', [1]);
  const tokens = (size / 2) ** 2;
  const condition = l.silu(
    l.linear('time.fc2', l.silu(l.linear('time.fc1', l.timestepEmbedding(timestep, width), width)), width),
  );
  const cut = op.transpose(l.batchReshape(sample, [4, size / 2, 2, size / 2, 2]), [0, 2, 4, 1, 3, 5]);
  let x = l.linear('patch', l.batchReshape(cut, [tokens, 16]), width);
  const modulated = (v: Value, shift: Value, scale: Value) => op.add2(op.mul(v, op.addScalar(scale, 1)), shift);
  for (let i = 0; i < depth; i++) {
    x = l.scope(`blocks.${i}`, () => {
      const six = op.split(
        l.batchReshape(l.linear('adaLN', condition, 6 * width), [1, 6 * width]),
        2,
        Array(6).fill(width),
      );
      const [shift1, scale1, gate1, shift2, scale2, gate2] = six as [Value, Value, Value, Value, Value, Value];
      const a = modulated(l.layerNorm('norm1', x), shift1, scale1);
      const y = op.add2(x, op.mul(gate1, l.attention('attn', a, a, heads)));
      const m = modulated(l.layerNorm('norm2', y), shift2, scale2);
      const hidden = op.apply('Gelu', [l.linear('mlp.fc1', m, 4 * width)], { approximate: 'tanh' });
      return op.add2(y, op.mul(gate2, l.linear('mlp.fc2', hidden, width)));
    });
  }
  const out = l.linear('final', l.layerNorm('norm_out', x), 16);
  const grid = op.transpose(l.batchReshape(out, [size / 2, size / 2, 4, 2, 2]), [0, 3, 1, 4, 2, 5]);
  op.output(l.batchReshape(grid, [4, size, size]), 'out_sample');
  return op.toModel('dit', (v) => ['batch', ...v.dims.slice(1)]);
}
