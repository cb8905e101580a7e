import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Rng } from '#models/tensor/rng.ts';
import { f32, numel } from '#models/tensor/tensor.ts';

/**
 * Layers as functions over the graph builder, with named, freshly initialised weights. Every shape change leaves the first
 * axis to the runtime (0 in Reshape), so a graph built at batch 1 runs at any batch.
 */
export class Layers {
  readonly op: GraphBuilder;
  private readonly rng: Rng;

  constructor(op: GraphBuilder, rng: Rng) {
    this.op = op;
    this.rng = rng;
  }

  /** A weight named `<scope>.<name>`, uniform in ±bound (0: zeros). */
  weight(name: string, dims: readonly number[], bound: number): Value {
    const full = this.op.path(name).replaceAll('/', '.');
    const data = new Float32Array(numel(dims));
    if (bound > 0) {
      const rng = this.rng.fork(full);
      for (let i = 0; i < data.length; i++) data[i] = (2 * rng.uniform() - 1) * bound;
    }
    return this.op.initializer(full, f32(dims, data));
  }

  ones(name: string, n: number): Value {
    return this.op.initializer(this.op.path(name).replaceAll('/', '.'), f32([n], new Float32Array(n).fill(1)));
  }

  scope<T>(name: string, body: () => T): T {
    return this.op.scope(name, body);
  }

  /** Reshape that keeps the batch free: `[B, ...rest]`. */
  batchReshape(x: Value, rest: readonly number[]): Value {
    return this.op.apply('Reshape', [x, this.op.i64([0, ...rest])]);
  }

  /** `[…, in] → […, out]`, weight stored `[in, out]` for MatMul. He et al. 2015 uniform bound unless `zero`. */
  linear(name: string, x: Value, out: number, options: { bias?: boolean; zero?: boolean } = {}): Value {
    return this.scope(name, () => {
      const inFeatures = x.dims.at(-1)!;
      const w = this.weight('weight', [inFeatures, out], options.zero ? 0 : Math.sqrt(3 / inFeatures));
      const y = this.op.apply('MatMul', [x, w], {}, 'MatMul');
      return options.bias === false ? y : this.op.add2(y, this.weight('bias', [out], 0));
    });
  }

  /** `[B, C, H, W] → [B, out, H/stride, W/stride]`, odd kernel, same padding. */
  conv(name: string, x: Value, out: number, kernel: number, options: { stride?: number; zero?: boolean } = {}): Value {
    return this.scope(name, () => {
      const c = x.dims[1]!;
      const pad = (kernel - 1) / 2;
      const w = this.weight(
        'weight',
        [out, c, kernel, kernel],
        options.zero ? 0 : Math.sqrt(3 / (c * kernel * kernel)),
      );
      const b = this.weight('bias', [out], 0);
      const stride = options.stride ?? 1;
      return this.op.apply(
        'Conv',
        [x, w, b],
        { kernel_shape: [kernel, kernel], pads: [pad, pad, pad, pad], strides: [stride, stride] },
        'Conv',
      );
    });
  }

  silu(x: Value): Value {
    return this.op.mul(x, this.op.sigmoid(x));
  }

  layerNorm(name: string, x: Value): Value {
    return this.scope(name, () => {
      const n = x.dims.at(-1)!;
      return this.op.apply('LayerNormalization', [x, this.ones('weight', n), this.weight('bias', [n], 0)], {
        axis: -1,
        epsilon: { kind: 'float', value: 1e-5 },
      });
    });
  }

  /** Group normalisation without its affine part: `[B, C, H, W]`, standardised over each of `groups` channel groups. */
  groupStandardize(x: Value, groups: number): Value {
    const [, c, h, w] = x.dims as [number, number, number, number];
    const length = (c / groups) * h * w;
    const rows = this.batchReshape(x, [groups, length]);
    const unit = this.op.constant(f32([length], new Float32Array(length).fill(1)));
    const y = this.op.apply('LayerNormalization', [rows, unit], { axis: 2, epsilon: { kind: 'float', value: 1e-5 } });
    return this.batchReshape(y, [c, h, w]);
  }

  groupNorm(name: string, x: Value, groups: number): Value {
    return this.scope(name, () => {
      const c = x.dims[1]!;
      const scale = this.op.initializer(
        this.op.path('weight').replaceAll('/', '.'),
        f32([c, 1, 1], new Float32Array(c).fill(1)),
      );
      return this.op.add2(this.op.mul(this.groupStandardize(x, groups), scale), this.weight('bias', [c, 1, 1], 0));
    });
  }

  /**
   * Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762). x `[B, L, C]`, context `[B, S, D]`; `mask` `[B, 1, 1, S]`
   * is added to the scores. The output projection starts at zero, so the block starts as the identity around its residual.
   */
  attention(name: string, x: Value, context: Value, heads: number, mask?: Value): Value {
    return this.scope(name, () => {
      const { op } = this;
      const [, length, c] = x.dims as [number, number, number];
      const s = context.dims[1]!;
      const d = c / heads;
      const split = (v: Value, n: number) => op.transpose(this.batchReshape(v, [n, heads, d]), [0, 2, 1, 3]);
      const q = split(op.mulScalar(this.linear('to_q', x, c, { bias: false }), 1 / Math.sqrt(d)), length);
      const k = this.op.transpose(
        this.batchReshape(this.linear('to_k', context, c, { bias: false }), [s, heads, d]),
        [0, 2, 3, 1],
      );
      const v = split(this.linear('to_v', context, c, { bias: false }), s);
      const scores = op.matmul(q, k);
      const weights = op.softmax(mask ? op.add2(scores, mask) : scores, -1);
      const joined = this.batchReshape(op.transpose(op.matmul(weights, v), [0, 2, 1, 3]), [length, c]);
      return this.linear('to_out', joined, c, { zero: true });
    });
  }

  /** Sinusoidal embedding of `[B]` timesteps, `[B, width]`: cosines, then sines, of t·10000^(−i/half). */
  timestepEmbedding(t: Value, width: number): Value {
    const half = width / 2;
    const frequencies = Float32Array.from({ length: half }, (_, i) => Math.exp((-Math.log(10000) * i) / half));
    const column = this.op.apply('Unsqueeze', [this.op.cast(t, 'float32'), this.op.i64([1])]);
    const angles = this.op.mul(column, this.op.f32([1, half], frequencies));
    return this.op.concat([this.op.apply('Cos', [angles]), this.op.apply('Sin', [angles])], 1);
  }
}
