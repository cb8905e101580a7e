import { closeSync, openSync } from 'node:fs';
import { writeFully } from '#models/files.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { BYTES_PER_ELEMENT, f32, fromNumbers, numel } from '#models/tensor/tensor.ts';

/** Sizes of a UNet with the plan of Stable Diffusion 1.x (Rombach et al. 2022, arXiv:2112.10752; diffusers' module names). */
export interface UnetPlan {
  /** Per grid, finest first; every grid but the last has transformers. */
  readonly channels: readonly number[];
  readonly heads: number;
  readonly groups: number;
  /** Tokens of the text and their width. */
  readonly context: readonly [number, number];
  /** Latent height and width. */
  readonly size: number;
}

/** 859,520,964 parameters. */
export const SD15: UnetPlan = { channels: [320, 640, 1280, 1280], heads: 8, groups: 32, context: [77, 768], size: 64 };

/** The same plan, small enough for a test. */
export const TINY: UnetPlan = { channels: [16, 32], heads: 2, groups: 8, context: [7, 24], size: 8 };

/** Where a weight lies in the data file and what it starts with, as PyTorch's own layers do. */
export interface WeightEntry {
  readonly name: string;
  readonly dims: readonly number[];
  readonly offset: number;
  /** Uniform in ±bound; or all `value`. */
  readonly start: { readonly bound: number } | { readonly value: number };
}

export interface ExternalUnet {
  readonly model: Model;
  readonly weights: readonly WeightEntry[];
  readonly sizeBytes: number;
}

const PAGE_BYTES = 4096;

/**
 * The network with its weights in one file beside it. No weight exists in memory: {@link writeWeights} makes the file.
 * With `float16` inputs, outputs and everything between are of that type, as in exports at half precision.
 * Inputs `sample` `[1, 4, size, size]`, `timestep` `[1]`, `encoder_hidden_states` `[1, tokens, width]`.
 */
export function buildSdUnet(plan: UnetPlan, location: string, dtype: 'float32' | 'float16' = 'float32'): ExternalUnet {
  const op = createBuilder();
  const weights: WeightEntry[] = [];
  let end = 0;
  const weight = (name: string, dims: readonly number[], start: WeightEntry['start']): Value => {
    const full = op.path(name).replaceAll('/', '.');
    const offset = Math.ceil(end / PAGE_BYTES) * PAGE_BYTES;
    const length = BYTES_PER_ELEMENT[dtype] * numel(dims);
    end = offset + length;
    weights.push({ name: full, dims, offset, start });
    return op.initializer(full, { dtype, dims, external: { location, offset, length } });
  };
  network(op, plan, dtype, weight);
  const model = op.toModel('sd-unet');
  return { model, weights, sizeBytes: end };
}

type MakeWeight = (name: string, dims: readonly number[], start: WeightEntry['start']) => Value;

function network(op: GraphBuilder, plan: UnetPlan, dtype: 'float32' | 'float16', weight: MakeWeight): void {
  const { channels, heads, groups, size } = plan;
  const sample = op.input('sample', dtype, [1, 4, size, size]);
  const timestep = op.input('timestep', dtype, [1]);
  const context = op.input('encoder_hidden_states', dtype, [1, ...plan.context]);
  const silu = (x: Value) => op.mul(x, op.sigmoid(x));

  const linear = (name: string, x: Value, out: number, bias = true): Value =>
    op.scope(name, () => {
      const fanIn = x.dims.at(-1)!;
      const bound = 1 / Math.sqrt(fanIn);
      const y = op.apply('MatMul', [x, weight('weight', [fanIn, out], { bound })], {}, 'MatMul');
      return bias ? op.add2(y, weight('bias', [out], { bound })) : y;
    });
  const conv = (name: string, x: Value, out: number, kernel: number, stride = 1): Value =>
    op.scope(name, () => {
      const c = x.dims[1]!;
      const pad = (kernel - 1) / 2;
      const bound = 1 / Math.sqrt(c * kernel * kernel);
      const w = weight('weight', [out, c, kernel, kernel], { bound });
      return op.apply(
        'Conv',
        [x, w, weight('bias', [out], { bound })],
        { kernel_shape: [kernel, kernel], pads: [pad, pad, pad, pad], strides: [stride, stride] },
        'Conv',
      );
    });
  // As exporters write it: per group through InstanceNormalization, then scale and shift per channel.
  const groupNorm = (name: string, x: Value, epsilon: number): Value =>
    op.scope(name, () => {
      const [b, c, h, w] = x.dims as [number, number, number, number];
      const [ones, zeros] = [1, 0].map((v) => op.constant(fromNumbers(dtype, [groups], new Array(groups).fill(v)))) as [
        Value,
        Value,
      ];
      const rows = op.reshape(x, [b, groups, (c / groups) * h * w]);
      const y = op.apply('InstanceNormalization', [rows, ones, zeros], { epsilon: { kind: 'float', value: epsilon } });
      const scaled = op.mul(op.reshape(y, x.dims), weight('weight', [c, 1, 1], { value: 1 }));
      return op.add2(scaled, weight('bias', [c, 1, 1], { value: 0 }));
    });
  const layerNorm = (name: string, x: Value): Value =>
    op.scope(name, () => {
      const n = x.dims.at(-1)!;
      return op.apply(
        'LayerNormalization',
        [x, weight('weight', [n], { value: 1 }), weight('bias', [n], { value: 0 })],
        { axis: -1, epsilon: { kind: 'float', value: 1e-5 } },
      );
    });
  const attention = (name: string, x: Value, source: Value): Value =>
    op.scope(name, () => {
      const [b, length, c] = x.dims as [number, number, number];
      const s = source.dims[1]!;
      const d = c / heads;
      const split = (v: Value, n: number, perm: readonly number[]) =>
        op.transpose(op.reshape(v, [b, n, heads, d]), perm);
      const q = split(op.mulScalar(linear('to_q', x, c, false), 1 / Math.sqrt(d)), length, [0, 2, 1, 3]);
      const k = split(linear('to_k', source, c, false), s, [0, 2, 3, 1]);
      const v = split(linear('to_v', source, c, false), s, [0, 2, 1, 3]);
      const o = op.matmul(op.softmax(op.matmul(q, k)), v);
      return linear('to_out.0', op.reshape(op.transpose(o, [0, 2, 1, 3]), [b, length, c]), c);
    });

  const half = channels[0]! / 2;
  const width = 4 * channels[0]!;
  const frequencies = Array.from({ length: half }, (_, i) => Math.exp((-Math.log(10000) * i) / half));
  const angles = op.mul(op.reshape(timestep, [1, 1]), op.constant(fromNumbers(dtype, [1, half], frequencies)));
  const sinusoid = op.concat([op.apply('Cos', [angles]), op.apply('Sin', [angles])], 1);
  const embedded = op.scope('time_embedding', () =>
    linear('linear_2', silu(linear('linear_1', sinusoid, width)), width),
  );
  // Every block passes it through SiLU again.
  const emb = silu(embedded);

  const resnet = (name: string, x: Value, out: number): Value =>
    op.scope(name, () => {
      let y = conv('conv1', silu(groupNorm('norm1', x, 1e-5)), out, 3);
      y = op.add2(y, op.reshape(linear('time_emb_proj', emb, out), [1, out, 1, 1]));
      y = conv('conv2', silu(groupNorm('norm2', y, 1e-5)), out, 3);
      return op.add2(x.dims[1] === out ? x : conv('conv_shortcut', x, out, 1), y);
    });
  const transformer = (name: string, x: Value): Value =>
    op.scope(name, () => {
      const [b, c, h, w] = x.dims as [number, number, number, number];
      const y = conv('proj_in', groupNorm('norm', x, 1e-6), c, 1);
      const tokens = op.transpose(op.reshape(y, [b, c, h * w]), [0, 2, 1]);
      const t = op.scope('transformer_blocks.0', () => {
        const n1 = layerNorm('norm1', tokens);
        let r = op.add2(tokens, attention('attn1', n1, n1));
        r = op.add2(r, attention('attn2', layerNorm('norm2', r), context));
        const [value, gate] = op.split(linear('ff.net.0.proj', layerNorm('norm3', r), 8 * c), 2, [4 * c, 4 * c]) as [
          Value,
          Value,
        ];
        return op.add2(r, linear('ff.net.2', op.mul(value, op.apply('Gelu', [gate])), c));
      });
      return op.add2(x, conv('proj_out', op.reshape(op.transpose(t, [0, 2, 1]), [b, c, h, w]), c, 1));
    });
  const enlarge = (x: Value): Value =>
    op.apply('Resize', [x, null, op.f32([4], [1, 1, 2, 2])], {
      mode: 'nearest',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: 'floor',
    });

  const last = channels.length - 1;
  let x = conv('conv_in', sample, channels[0]!, 3);
  const skips = [x];
  for (const [i, c] of channels.entries()) {
    for (const j of [0, 1]) {
      x = resnet(`down_blocks.${i}.resnets.${j}`, x, c);
      if (i < last) x = transformer(`down_blocks.${i}.attentions.${j}`, x);
      skips.push(x);
    }
    if (i < last) {
      x = conv(`down_blocks.${i}.downsamplers.0.conv`, x, c, 3, 2);
      skips.push(x);
    }
  }
  x = resnet('mid_block.resnets.0', x, channels[last]!);
  x = resnet('mid_block.resnets.1', transformer('mid_block.attentions.0', x), channels[last]!);
  for (let i = 0; i <= last; i++) {
    const c = channels[last - i]!;
    for (const j of [0, 1, 2]) {
      x = resnet(`up_blocks.${i}.resnets.${j}`, op.concat([x, skips.pop()!], 1), c);
      if (i > 0) x = transformer(`up_blocks.${i}.attentions.${j}`, x);
    }
    if (i < last) x = conv(`up_blocks.${i}.upsamplers.0.conv`, enlarge(x), c, 3);
  }
  x = conv('conv_out', silu(groupNorm('conv_norm_out', x, 1e-5)), 4, 3);
  op.output(x, 'out_sample');
}

const CHUNK = 1 << 20;

/** Writes random weights to the data file, a few megabytes at a time. A weight's numbers depend on its name only. */
export function writeWeights(unet: ExternalUnet, path: string): void {
  const values = new Float32Array(CHUNK);
  const fd = openSync(path, 'w');
  try {
    let position = 0;
    for (const { name, dims, offset, start } of unet.weights) {
      writeFully(fd, new Uint8Array(offset - position), path);
      let state = new Rng(1).fork('sd-unet', name).word();
      const init = unet.model.graph.initializers.get(name)!;
      for (let left = numel(dims); left > 0; left -= CHUNK) {
        const part = values.subarray(0, Math.min(CHUNK, left));
        if ('value' in start) part.fill(start.value);
        else state = fillUniform(part, start.bound, state);
        const out = init.dtype === 'float16' ? new Float16Array(part) : part;
        writeFully(fd, new Uint8Array(out.buffer, out.byteOffset, out.byteLength), path);
      }
      position = offset + numel(dims) * BYTES_PER_ELEMENT[init.dtype];
    }
  } finally {
    closeSync(fd);
  }
}

/** Uniform in ±bound, by mulberry32 from `state`: 860 million numbers are too many for the counter-based stream. */
function fillUniform(out: Float32Array, bound: number, seed: number): number {
  let state = seed;
  const scale = (2 * bound) / 2 ** 32;
  for (let i = 0; i < out.length; i++) {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    out[i] = (t ^ (t >>> 14)) * scale;
  }
  return state;
}

/** Inputs for one step, as a sampler would give them. */
export function sdFeeds(plan: UnetPlan) {
  const rng = new Rng(7).fork('sd-feeds');
  const normal = (name: string, dims: readonly number[]) =>
    f32(dims, rng.fork(name).fillNormal(new Float32Array(numel(dims))));
  return {
    sample: normal('sample', [1, 4, plan.size, plan.size]),
    timestep: f32([1], [500]),
    encoder_hidden_states: normal('context', [1, ...plan.context]),
  };
}
