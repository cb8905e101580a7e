import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { DATA_TYPE, dtypeOf } from '#models/onnx/data-types.ts';
import { type DType, fromNumbers, i64, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { defineOp, type InferContext, type NodeAttributes, normalizeAxis, type OpDefinition } from './define.ts';
import { knownInts } from './shape.ts';

/** cos and sin of 2πjk/length for places j and frequencies k, `[length, frequencies]` each. */
function waves(op: GraphBuilder, dtype: DType, length: number, frequencies: number): [cos: Value, sin: Value] {
  const table = (f: (angle: number) => number) =>
    op.constant(
      fromNumbers(
        dtype,
        [length, frequencies],
        // j·k is reduced first: a large angle would lose digits.
        Array.from({ length: length * frequencies }, (_, i) =>
          f((2 * Math.PI * ((Math.floor(i / frequencies) * (i % frequencies)) % length)) / length),
        ),
      ),
    );
  return [table(Math.cos), table(Math.sin)];
}

/** Fourier transform of rows, `[…, length]` → `[…, frequencies, 2]`, as products with a matrix of waves. */
function transform(
  op: GraphBuilder,
  real: Value,
  imaginary: Value | null,
  frequencies: number,
  inverse: boolean,
): Value {
  const length = real.dims.at(-1)!;
  const [cos, sin] = waves(op, real.dtype, length, frequencies);
  const xc = op.matmul(real, cos);
  const xs = op.matmul(real, sin);
  let re = xc;
  let im = inverse ? xs : op.neg(xs);
  if (imaginary) {
    const yc = op.matmul(imaginary, cos);
    const ys = op.matmul(imaginary, sin);
    re = inverse ? op.sub(re, ys) : op.add2(re, ys);
    im = op.add2(im, yc);
  }
  const column = (v: Value) => op.reshape(inverse ? op.mulScalar(v, 1 / length) : v, [...v.dims, 1]);
  return op.concat([column(re), column(im)], re.dims.length);
}

function dftPlan(c: InferContext) {
  const { dims } = c.x(0);
  const axis = normalizeAxis(c.inputs[2] ? knownInts(c, 2)[0]! : -2, dims.length);
  const length = c.inputs[1] ? knownInts(c, 1)[0]! : dims[axis]!;
  const onesided = c.attrs.int('onesided', 0) === 1;
  const inverse = c.attrs.int('inverse', 0) === 1;
  if (onesided && inverse) {
    throw new NorthlightError(
      'onnx/unsupported',
      `DFT "${c.node.name}" is the inverse of a one-sided transform, which is not supported.`,
      'Export the model with the two-sided transform.',
    );
  }
  return { axis, length, inverse, frequencies: onesided ? Math.floor(length / 2) + 1 : length };
}

function stftPlan(c: InferContext) {
  const [, samples] = c.x(0).dims as [number, number];
  const step = knownInts(c, 1)[0]!;
  const length = c.inputs[3] ? knownInts(c, 3)[0]! : c.x(2).dims[0]!;
  const onesided = c.attrs.int('onesided', 1) === 1;
  return {
    length,
    step,
    frames: Math.floor((samples - length) / step) + 1,
    frequencies: onesided ? Math.floor(length / 2) + 1 : length,
  };
}

/** A window by its cosine series: Σ weights[k]·cos(2πki/N). */
function cosineWindow(opType: string, weights: readonly number[]): OpDefinition {
  const make = (n: number, attrs: NodeAttributes): Tensor => {
    const dtype = dtypeOf(attrs.int('output_datatype', DATA_TYPE.float32)) ?? 'float32';
    const period = attrs.int('periodic', 1) === 1 ? n : n - 1;
    const at = (i: number) => weights.reduce((sum, w, k) => sum + w * Math.cos((2 * Math.PI * k * i) / period), 0);
    return fromNumbers(
      dtype,
      [n],
      Array.from({ length: n }, (_, i) => at(i)),
    );
  };
  return defineOp({
    opType,
    sinceVersion: 17,
    infer: (c) => [{ dtype: make(0, c.attrs).dtype, dims: [knownInts(c, 0)[0]!] }],
    grad: 'none',
    fold: ([size], attrs) => [make(toNumbers(size!)[0]!, attrs)],
  });
}

/** Spectra of signals, in matrix products. */
export const spectralOps: readonly OpDefinition[] = [
  cosineWindow('HannWindow', [0.5, -0.5]),
  cosineWindow('HammingWindow', [25 / 46, -21 / 46]),
  cosineWindow('BlackmanWindow', [0.42, -0.5, 0.08]),
  // Discrete Fourier transform of one axis; the last axis holds the real and, if there is one, the imaginary part.
  defineOp({
    opType: 'DFT',
    sinceVersion: 20,
    infer: (c) => {
      const { axis, frequencies } = dftPlan(c);
      const dims = c.x(0).dims.slice(0, -1);
      return [{ dtype: c.x(0).dtype, dims: [...dims.map((d, i) => (i === axis ? frequencies : d)), 2] }];
    },
    decompose: (c) => {
      const { op, x } = c;
      const { axis, length, inverse, frequencies } = dftPlan(c);
      const { dims } = x(0);
      const rank = dims.length - 1;
      const last = [...Array(rank).keys()].filter((i) => i !== axis).concat(axis);
      const part = (k: number) => {
        const taken = op.reshape(op.slice(x(0), rank, k, k + 1), dims.slice(0, rank));
        const rows = op.transpose(taken, last);
        const n = dims[axis]!;
        if (length <= n) return length < n ? op.slice(rows, rank - 1, 0, length) : rows;
        return op.pad(rows, [...new Array<number>(2 * rank - 1).fill(0), length - n]);
      };
      const y = transform(op, part(0), dims[rank] === 2 ? part(1) : null, frequencies, inverse);
      return [op.transpose(y, [...last.map((_, i) => last.indexOf(i)), rank])];
    },
  }),
  // Short-time Fourier transform `[B, T, 1 or 2]` → `[B, frames, frequencies, 2]`.
  defineOp({
    opType: 'STFT',
    sinceVersion: 17,
    infer: (c) => {
      const { frames, frequencies } = stftPlan(c);
      return [{ dtype: c.x(0).dtype, dims: [c.x(0).dims[0]!, frames, frequencies, 2] }];
    },
    decompose: (c) => {
      const { op, x, inputs } = c;
      const { length, step, frames, frequencies } = stftPlan(c);
      const [batch, samples, parts] = x(0).dims as [number, number, number | undefined];
      const index = Array.from({ length: frames * length }, (_, i) => Math.floor(i / length) * step + (i % length));
      const cut = (k: number) => {
        const signal = parts === undefined ? x(0) : op.reshape(op.slice(x(0), 2, k, k + 1), [batch, samples]);
        const rows = op.gather(signal, op.constant(i64([frames, length], index)), 1);
        return inputs[2] ? op.mul(rows, inputs[2]) : rows;
      };
      return [transform(op, cut(0), parts === 2 ? cut(1) : null, frequencies, false)];
    },
  }),
  defineOp({
    opType: 'MelWeightMatrix',
    sinceVersion: 17,
    infer: (c) => [
      {
        dtype: dtypeOf(c.attrs.int('output_datatype', DATA_TYPE.float32)) ?? 'float32',
        dims: [Math.floor(knownInts(c, 1)[0]! / 2) + 1, knownInts(c, 0)[0]!],
      },
    ],
    grad: 'none',
  }),
];
