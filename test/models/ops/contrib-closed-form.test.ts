import { describe, expect, test } from 'vitest';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { type Attribute, float, floats, str } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, fromNumbers, i64, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';

type Attributes = Record<string, number | string | readonly number[] | Attribute>;

/** The outputs of one node of the runtime's own, decomposed and run. Tensors of integers are constants, the rest are fed. */
async function evaluate(
  opType: string,
  inputs: readonly (Tensor | null)[],
  attributes: Attributes,
  outputs = 1,
): Promise<Tensor[]> {
  const written = createBuilder();
  const values = inputs.map((t, i) =>
    t ? (t.dtype === 'float32' ? written.input(`x${i}`, t.dtype, t.dims) : written.constant(t)) : null,
  );
  const made = written.applyMany(opType, values, attributes, outputs, { domain: 'com.microsoft' });
  for (const v of made) written.output(v);
  const op = createBuilder();
  const imported = importGraph(op, written.toModel('one'), { inputs: {} });
  made.forEach((v, i) => {
    op.output(imported.outputs.get(v.name)!, `y${i}`);
  });
  const session = await createSession(encodeModel(op.toModel('one')), { threads: 1 });
  const feeds = Object.fromEntries(inputs.flatMap((t, i) => (t?.dtype === 'float32' ? [[`x${i}`, t]] : [])));
  const results = await session.run(feeds);
  await session.release();
  return made.map((_, i) => results[`y${i}`]!);
}

const random = (label: string, dims: readonly number[]): Tensor => {
  const rng = new Rng(3).fork(label);
  return f32(
    dims,
    Array.from({ length: numel(dims) }, () => rng.normal()),
  );
};

const numbers = new WeakMap<Tensor, number[]>();

/** An element by its indices. */
const reader = (t: Tensor) => {
  const values = numbers.get(t) ?? toNumbers(t);
  numbers.set(t, values);
  return (...at: readonly number[]) => values[at.reduce((flat, i, axis) => flat * t.dims[axis]! + i, 0)]!;
};

/** A tensor from a formula of its indices. */
function table(dims: readonly number[], f: (...at: number[]) => number): number[] {
  const out: number[] = [];
  const visit = (at: number[]): void => {
    if (at.length === dims.length) out.push(f(...at));
    else for (let i = 0; i < dims[at.length]!; i++) visit([...at, i]);
  };
  visit([]);
  return out;
}

function expectClose(actual: Tensor, dims: readonly number[], expected: readonly number[]): void {
  expect(actual.dims).toEqual(dims);
  const got = toNumbers(actual);
  const size = Math.max(...expected.map(Math.abs));
  expected.forEach((v, i) => {
    expect(Math.abs(got[i]! - v), `element ${i}`).toBeLessThanOrEqual(2e-6 * size);
  });
}

const sum = (n: number, f: (i: number) => number) =>
  Array.from({ length: n }, (_, i) => f(i)).reduce((a, b) => a + b, 0);

/** x·Φ(x), with Φ from Simpson's rule on the density. */
function gelu(x: number): number {
  const n = 2000;
  const h = x / n;
  const density = (t: number) => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
  return x * (0.5 + (h / 3) * sum(n + 1, (i) => (i === 0 || i === n ? 1 : i % 2 ? 4 : 2) * density(i * h)));
}
const fastGelu = (x: number) => 0.5 * x * (1 + Math.tanh(0.7978845608 * x + 0.0356774081 * x ** 3));
const silu = (x: number) => x / (1 + Math.exp(-x));

/** (x − mean)/σ·gamma + beta, statistics over the channels of a group and all positions of a sample. `[N, H, W, C]`. */
function groupNormReference(x: Tensor, gamma: Tensor, beta: Tensor, groups: number, epsilon: number, plain: boolean) {
  const at = reader(x);
  const [, h, w, c] = x.dims as [number, number, number, number];
  const size = c / groups;
  const each = (n: number, g: number, f: (v: number) => number) =>
    sum(h, (i) => sum(w, (j) => sum(size, (k) => f(at(n, i, j, g * size + k))))) / (h * w * size);
  return table(x.dims, (n, i, j, k) => {
    const g = Math.floor(k! / size);
    const mean = each(n!, g, (v) => v);
    const variance = each(n!, g, (v) => (v - mean) ** 2);
    const y = ((at(n!, i!, j!, k!) - mean) / Math.sqrt(variance + epsilon)) * reader(gamma)(k!) + reader(beta)(k!);
    return plain ? y : silu(y);
  });
}

describe('operators that only GPUs have are what their definition says, computed by hand', () => {
  test('BiasSplitGelu: the left half times the Gelu of the right', async () => {
    const [x, b] = [random('x', [2, 3, 8]), random('b', [8])];
    const z = (n: number, s: number, k: number) => reader(x)(n, s, k) + reader(b)(k);
    const [y] = await evaluate('BiasSplitGelu', [x, b], {});
    expectClose(
      y!,
      [2, 3, 4],
      table([2, 3, 4], (n, s, k) => z(n!, s!, k!) * gelu(z(n!, s!, k! + 4))),
    );
  });

  test('BiasAdd: input, bias per channel and residual', async () => {
    const [x, b, r] = [random('x', [2, 3, 4]), random('b', [4]), random('r', [2, 3, 4])];
    const [y] = await evaluate('BiasAdd', [x, b, r], {});
    expectClose(
      y!,
      x.dims,
      table(x.dims, (i, j, k) => reader(x)(i!, j!, k!) + reader(b)(k!) + reader(r)(i!, j!, k!)),
    );
  });

  test('BiasSoftmax: probabilities over all axes from the given one on', async () => {
    const [x, b] = [random('x', [2, 3, 4]), random('b', [1, 3, 4])];
    const e = (i: number, j: number, k: number) => Math.exp(reader(x)(i, j, k) + reader(b)(0, j, k));
    const [y] = await evaluate('BiasSoftmax', [x, b], { axis: 1, is_inner_broadcast: 0 });
    expectClose(
      y!,
      x.dims,
      table(x.dims, (i, j, k) => e(i!, j!, k!) / sum(3, (p) => sum(4, (q) => e(i!, p, q)))),
    );
  });

  for (const activation of [0, 1]) {
    test(`GroupNorm, channels last, ${activation ? 'with SiLU' : 'plain'}`, async () => {
      const [x, gamma, beta] = [random('x', [2, 3, 2, 6]), random('gamma', [6]), random('beta', [6])];
      const [y] = await evaluate('GroupNorm', [x, gamma, beta], { groups: 2, activation, epsilon: float(0.01) });
      expectClose(y!, x.dims, groupNormReference(x, gamma, beta, 2, 0.01, activation === 0));
    });
  }

  test('GroupNorm with channels first is that of the turned image, with the default epsilon of 1e-5', async () => {
    const [x, gamma, beta] = [random('x', [2, 3, 2, 6]), random('gamma', [6]), random('beta', [6])];
    // Small, so that the epsilon shows.
    const tiny = f32(
      x.dims,
      toNumbers(x).map((v) => 0.004 * v),
    );
    const first = f32(
      [2, 6, 3, 2],
      table([2, 6, 3, 2], (n, c, i, j) => reader(tiny)(n!, i!, j!, c!)),
    );
    const [y] = await evaluate('GroupNorm', [first, gamma, beta], { groups: 3, activation: 0, channels_last: 0 });
    const expected = f32(x.dims, groupNormReference(tiny, gamma, beta, 3, 1e-5, true));
    expectClose(
      y!,
      first.dims,
      table(first.dims, (n, c, i, j) => reader(expected)(n!, i!, j!, c!)),
    );
  });

  test('SkipGroupNorm: the norm of the sum with skip and bias, and the sum', async () => {
    const x = random('x', [2, 3, 2, 6]);
    const [gamma, beta, bias] = [random('gamma', [6]), random('beta', [6]), random('bias', [6])];
    const attributes = { groups: 2, activation: 1, epsilon: float(0.01) };
    for (const dims of [
      [2, 3, 2, 6],
      [2, 6],
      [2, 1, 1, 6],
    ]) {
      const skip = random('skip', dims);
      const s = (n: number, i: number, j: number, c: number) =>
        dims.length === 2 ? reader(skip)(n, c) : dims[1] === 1 ? reader(skip)(n, 0, 0, c) : reader(skip)(n, i, j, c);
      const total = f32(
        x.dims,
        table(x.dims, (n, i, j, c) => reader(x)(n!, i!, j!, c!) + s(n!, i!, j!, c!) + reader(bias)(c!)),
      );
      const [y, added] = await evaluate('SkipGroupNorm', [x, gamma, beta, skip, bias], attributes, 2);
      expectClose(added!, x.dims, toNumbers(total));
      expectClose(y!, x.dims, groupNormReference(total, gamma, beta, 2, 0.01, false));
    }
  });

  test('SkipLayerNormalization also gives the mean, 1/σ and the sum; its RMS form 1/rms', async () => {
    const [x, r, g] = [random('x', [2, 3, 4]), random('r', [2, 3, 4]), random('g', [4])];
    const z = (i: number, j: number, k: number) => reader(x)(i, j, k) + reader(r)(i, j, k);
    const mean = (i: number, j: number) => sum(4, (k) => z(i, j, k)) / 4;
    const spread = (i: number, j: number, m: number) => sum(4, (k) => (z(i, j, k) - m) ** 2) / 4;
    const [, means, inverse, added] = await evaluate('SkipLayerNormalization', [x, r, g], { epsilon: float(0.1) }, 4);
    expectClose(
      means!,
      [2, 3, 1],
      table([2, 3], (i, j) => mean(i!, j!)),
    );
    expectClose(
      inverse!,
      [2, 3, 1],
      table([2, 3], (i, j) => 1 / Math.sqrt(spread(i!, j!, mean(i!, j!)) + 0.1)),
    );
    expectClose(
      added!,
      x.dims,
      table(x.dims, (i, j, k) => z(i!, j!, k!)),
    );
    const simplified = await evaluate('SkipSimplifiedLayerNormalization', [x, r, g], { epsilon: float(0.1) }, 4);
    expectClose(
      simplified[2]!,
      [2, 3, 1],
      table([2, 3], (i, j) => 1 / Math.sqrt(spread(i!, j!, 0) + 0.1)),
    );
  });

  /** Convolution of `[N, H, W, C]`, kernel `w(m, c, i, j)`. */
  const convolve = (
    x: Tensor,
    w: (m: number, c: number, i: number, j: number) => number,
    g: {
      out: readonly number[];
      kernel: readonly number[];
      stride: number;
      pad: number;
      perGroup: number;
      group: number;
    },
  ) => {
    const [, h, wide] = x.dims as [number, number, number];
    const inside = (i: number, j: number) => i >= 0 && i < h && j >= 0 && j < wide;
    return (n: number, i: number, j: number, m: number) =>
      sum(g.kernel[0]!, (p) =>
        sum(g.kernel[1]!, (q) => {
          const [a, b] = [i * g.stride - g.pad + p, j * g.stride - g.pad + q];
          const start = Math.floor((m * g.group) / g.out[3]!) * g.perGroup;
          return inside(a, b) ? sum(g.perGroup, (c) => w(m, c, p, q) * reader(x)(n, a, b, start + c)) : 0;
        }),
      );
  };

  test('NhwcConv: channels last, kernels [M, kh, kw, C/group] as the optimiser for GPUs turns them', async () => {
    const [x, w, b] = [random('x', [2, 5, 4, 4]), random('w', [6, 3, 2, 2]), random('b', [6])];
    const out = [2, 3, 3, 6];
    const y = convolve(x, (m, c, i, j) => reader(w)(m, i, j, c), {
      out,
      kernel: [3, 2],
      stride: 2,
      pad: 1,
      perGroup: 2,
      group: 2,
    });
    const attributes = { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 1, 1, 1], group: 2 };
    const [actual] = await evaluate('NhwcConv', [x, w, b], attributes);
    expectClose(
      actual!,
      out,
      table(out, (n, i, j, m) => y(n!, i!, j!, m!) + reader(b)(m!)),
    );
  });

  test('NhwcFusedConv: channels last, kernels [M, C, kh, kw], a summand, then a leaky rectifier', async () => {
    const [x, w, z] = [random('x', [1, 4, 4, 2]), random('w', [3, 2, 3, 3]), random('z', [1, 4, 4, 3])];
    const out = [1, 4, 4, 3];
    const y = convolve(x, (m, c, i, j) => reader(w)(m, c, i, j), {
      out,
      kernel: [3, 3],
      stride: 1,
      pad: 1,
      perGroup: 2,
      group: 1,
    });
    const attributes = {
      kernel_shape: [3, 3],
      pads: [1, 1, 1, 1],
      activation: str('LeakyRelu'),
      activation_params: floats([0.1]),
    };
    const [actual] = await evaluate('NhwcFusedConv', [x, w, null, z], attributes);
    expectClose(
      actual!,
      out,
      table(out, (n, i, j, m) => {
        const v = y(n!, i!, j!, m!) + reader(z)(n!, i!, j!, m!);
        return v > 0 ? v : 0.1 * v;
      }),
    );
  });

  test('FusedMatMulActivation: alpha·Aᵀ·B, then a hard sigmoid', async () => {
    const [a, b] = [random('a', [2, 4, 3]), random('b', [4, 5])];
    const attributes = {
      transA: 1,
      alpha: float(0.5),
      activation: str('HardSigmoid'),
      activation_alpha: float(0.3),
      activation_beta: float(0.4),
    };
    const [y] = await evaluate('FusedMatMulActivation', [a, b], attributes);
    expectClose(
      y!,
      [2, 3, 5],
      table([2, 3, 5], (n, i, j) => {
        const v = 0.5 * sum(4, (k) => reader(a)(n!, k, i!) * reader(b)(k, j!));
        return Math.min(1, Math.max(0, 0.3 * v + 0.4));
      }),
    );
  });

  test('GemmFastGelu: the tanh form of Gelu after a product and a bias', async () => {
    const [x, w, b] = [random('x', [2, 3, 4]), random('w', [4, 5]), random('b', [5])];
    const [y] = await evaluate('GemmFastGelu', [x, w, b], {});
    expectClose(
      y!,
      [2, 3, 5],
      table([2, 3, 5], (n, i, j) => fastGelu(sum(4, (k) => reader(x)(n!, i!, k) * reader(w)(k, j!)) + reader(b)(j!))),
    );
  });

  test('RelativePositionBias: the buckets of T5 (32 both ways, distances to 128)', async () => {
    const rows = 200;
    // A table that holds its own row number.
    const buckets = f32(
      [32, 1],
      Array.from({ length: 32 }, (_, i) => i),
    );
    const attributes = { max_distance: 128, is_bidirectional: 1 };
    const [y] = await evaluate('RelativePositionBias', [buckets, i64([1], [rows]), i64([1], [rows])], attributes);
    expect(y!.dims).toEqual([1, 1, rows, rows]);
    const of = (distance: number) => (distance >= 0 ? reader(y!)(0, 0, 0, distance) : reader(y!)(0, 0, -distance, 0));
    // First distance of each bucket from the eighth on, as the reference implementation has them.
    const starts = [8, 12, 16, 23, 32, 46, 64, 91];
    for (let d = 0; d < rows; d++) {
      const expected = d < 8 ? d : 7 + starts.filter((s) => s <= d).length;
      expect(of(-d), `distance ${-d}`).toBe(expected);
      if (d > 0) expect(of(d), `distance ${d}`).toBe(16 + expected);
    }
  });

  test('GatedRelativePositionBias: the position bias times a gate on the query', async () => {
    const [n, s, heads, h, d] = [2, 3, 2, 2, 6];
    const [q, qb, rel] = [random('q', [n, s, heads * h]), random('qb', [heads * h]), random('rel', [1, heads, s, s])];
    const [w, b, eco] = [random('w', [h, d]), random('b', [d]), random('eco', [1, heads, 1, 1])];
    const [y] = await evaluate('GatedRelativePositionBias', [q, qb, rel, w, b, eco], { num_heads: heads });
    const gate = (i: number, t: number, head: number, half: number) => {
      const query = (k: number) => reader(q)(i, t, head * h + k) + reader(qb)(head * h + k);
      const column = (j: number) => sum(h, (k) => query(k) * reader(w)(k, j)) + reader(b)(j);
      return 1 / (1 + Math.exp(-sum(d / 2, (j) => column(half * (d / 2) + j))));
    };
    expectClose(
      y!,
      [n, heads, s, s],
      table([n, heads, s, s], (i, head, t, u) => {
        const g = gate(i!, t!, head!, 0) * (gate(i!, t!, head!, 1) * reader(eco)(0, head!, 0, 0) - 1) + 2;
        return g * reader(rel)(0, head!, t!, u!);
      }),
    );
  });

  test('MultiHeadAttention packed in any way is MultiHeadAttention of its parts', async () => {
    const dims = [2, 3, 2, 4];
    const parts = ['q', 'k', 'v'].map((name) => random(name, dims));
    const flat = parts.map((t) => f32([2, 3, 8], toNumbers(t)));
    const pack = (ts: readonly Tensor[]) =>
      f32(
        [2, 3, 2, ts.length, 4],
        table([2, 3, 2, ts.length, 4], (b, s, n, which, k) => reader(ts[which!]!)(b!, s!, n!, k!)),
      );
    const bias = random('bias', [24]);
    const attributes = { num_heads: 2 };
    const [separate] = await evaluate('MultiHeadAttention', [...flat, bias], attributes);
    const [all] = await evaluate('MultiHeadAttention', [pack(parts), null, null, bias], attributes);
    expectClose(all!, [2, 3, 8], toNumbers(separate!));
    const [plain] = await evaluate('MultiHeadAttention', flat, attributes);
    const [keys] = await evaluate('MultiHeadAttention', [flat[0]!, pack(parts.slice(1))], attributes);
    expectClose(keys!, [2, 3, 8], toNumbers(plain!));
  });

  test('Attention without bias is Attention with a bias of zeros', async () => {
    const [x, w] = [random('x', [2, 3, 4]), random('w', [4, 12])];
    const [bare] = await evaluate('Attention', [x, w], { num_heads: 2 });
    const zeros = fromNumbers('float32', [12], new Array<number>(12).fill(0));
    const [biased] = await evaluate('Attention', [x, w, zeros], { num_heads: 2 });
    expectClose(bare!, [2, 3, 4], toNumbers(biased!));
  });

  test('BiasDropout at inference drops nothing', async () => {
    const [x, b, r] = [random('x', [2, 4]), random('b', [4]), random('r', [2, 4])];
    const [y] = await evaluate('BiasDropout', [x, b, r, f32([], [0.5])], {});
    expectClose(
      y!,
      [2, 4],
      table([2, 4], (i, j) => reader(x)(i!, j!) + reader(b)(j!) + reader(r)(i!, j!)),
    );
  });
});
