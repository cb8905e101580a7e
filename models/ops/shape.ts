import { NorthlightError } from '#models/errors.ts';
import type { Value } from '#models/onnx/builder.ts';
import { type DType, fromNumbers, i64, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import {
  broadcastDims,
  defineOp,
  type GradContext,
  type InferContext,
  normalizeAxis,
  type OpDefinition,
  pickNumbers,
} from './define.ts';
import { broadcastReader } from './elementwise.ts';

/** The known integers of an input that decides a shape. */
export function knownInts(c: InferContext, i: number): number[] {
  const t = c.constant(i);
  if (!t) {
    throw new NorthlightError(
      'onnx/dynamic-shape',
      `The shape of ${c.node.opType} "${c.node.name}" depends on a value that is only known at run time (input ${i}, "${c.node.inputs[i]}").`,
      'Give every graph input a fixed size; a shape that depends on data cannot be differentiated.',
    );
  }
  return toNumbers(t);
}

function reshapeDims(c: InferContext): number[] {
  const x = c.x(0);
  const asked = knownInts(c, 1);
  const zeroCopies = c.attrs.int('allowzero', 0) === 0;
  const dims = asked.map((d, i) => (d === 0 && zeroCopies ? x.dims[i]! : d));
  const unknown = dims.indexOf(-1);
  if (unknown >= 0) dims[unknown] = numel(x.dims) / dims.reduce((p, d, i) => (i === unknown ? p : p * d), 1);
  if (numel(dims) !== numel(x.dims)) {
    throw new NorthlightError(
      'onnx/shape',
      `Reshape "${c.node.name}" cannot make [${asked.join(', ')}] of [${x.dims.join(', ')}].`,
    );
  }
  return dims;
}

const back = (c: GradContext): Value => c.op.reshape(c.dy, c.x(0).dims);
const withNulls = (c: GradContext, g: Value): (Value | null)[] => [g, ...c.inputs.slice(1).map(() => null)];
const foldReshape = (t: Tensor, dims: readonly number[]): Tensor => ({ ...t, dims }) as Tensor;

function squeezeDims(dims: readonly number[], axes: readonly number[] | null): number[] {
  const drop = axes ? new Set(axes.map((a) => normalizeAxis(a, dims.length))) : null;
  return dims.filter((d, i) => (drop ? !drop.has(i) : d !== 1));
}

function unsqueezeDims(dims: readonly number[], axes: readonly number[]): number[] {
  const rank = dims.length + axes.length;
  const at = new Set(axes.map((a) => normalizeAxis(a, rank)));
  const rest = [...dims];
  return Array.from({ length: rank }, (_, i) => (at.has(i) ? 1 : rest.shift()!));
}

interface SlicePlan {
  starts: number[];
  ends: number[];
  steps: number[];
  dims: number[];
}

/** Per axis: first index, exclusive end, step and resulting size, by the ONNX clamping rules. */
function slicePlan(
  shape: readonly number[],
  starts: readonly number[],
  ends: readonly number[],
  axes: readonly number[] | null,
  steps: readonly number[] | null,
): SlicePlan {
  const plan: SlicePlan = { starts: shape.map(() => 0), ends: [...shape], steps: shape.map(() => 1), dims: [...shape] };
  starts.forEach((s, i) => {
    const axis = axes ? normalizeAxis(axes[i]!, shape.length) : i;
    const n = shape[axis]!;
    const step = steps ? steps[i]! : 1;
    const clamp = (v: number, lo: number, hi: number) => Math.min(Math.max(v, lo), hi);
    const wrap = (v: number) => (v < 0 ? v + n : v);
    const start = step > 0 ? clamp(wrap(s), 0, n) : clamp(wrap(s), 0, n - 1);
    const e = ends[i]!;
    const end = step > 0 ? clamp(wrap(e), 0, n) : clamp(wrap(e), -1, n - 1);
    plan.starts[axis] = start;
    plan.ends[axis] = end;
    plan.steps[axis] = step;
    plan.dims[axis] = Math.max(0, Math.ceil((end - start) / step));
  });
  return plan;
}

const planOf = (c: InferContext): SlicePlan =>
  slicePlan(
    c.x(0).dims,
    knownInts(c, 1),
    knownInts(c, 2),
    c.inputs[3] ? knownInts(c, 3) : null,
    c.inputs[4] ? knownInts(c, 4) : null,
  );

/** Gradient of a slice: zeros around it. A step of −1 over a whole axis is a flip; other strides go through ScatterND. */
function sliceGrad(c: GradContext): (Value | null)[] {
  const { op, dy } = c;
  const shape = c.x(0).dims;
  const plan = planOf(c);
  let g = dy;
  const changed = shape.flatMap((n, axis) => (plan.dims[axis] === n && plan.steps[axis] === 1 ? [] : [axis]));
  for (const axis of changed) {
    const n = shape[axis]!;
    const step = plan.steps[axis]!;
    const start = plan.starts[axis]!;
    const count = plan.dims[axis]!;
    if (step === 1) {
      const zero = (size: number) =>
        op.expand(
          op.scalar(0, dy.dtype),
          g.dims.map((d, i) => (i === axis ? size : d)),
        );
      const parts = [...(start > 0 ? [zero(start)] : []), g, ...(start + count < n ? [zero(n - start - count)] : [])];
      g = op.concat(parts, axis);
    } else if (step === -1 && count === n) {
      g = op.slice(g, axis, -1, -(2 ** 31), -1);
    } else {
      // Place row i of g at start + i·step: gather from g with one zero row appended.
      const source = new Array<number>(n).fill(count);
      for (let i = 0; i < count; i++) source[start + i * step] = i;
      const pads = new Array<number>(g.dims.length * 2).fill(0);
      pads[g.dims.length + axis] = 1;
      g = op.gather(op.pad(g, pads), op.i64(source), axis);
    }
  }
  return withNulls(c, g);
}

function splitSizes(c: InferContext): number[] {
  const axis = normalizeAxis(c.attrs.int('axis', 0), c.x(0).dims.length);
  const n = c.x(0).dims[axis]!;
  if (c.inputs[1]) return knownInts(c, 1);
  const parts = c.node.outputs.length;
  const size = Math.ceil(n / parts);
  return Array.from({ length: parts }, (_, i) => (i < parts - 1 ? size : n - size * (parts - 1)));
}

function gatherNumbers(data: Tensor, indices: Tensor, axis: number): Tensor {
  const a = normalizeAxis(axis, data.dims.length);
  const values = toNumbers(data);
  const n = data.dims[a]!;
  const inner = numel(data.dims.slice(a + 1));
  const outer = numel(data.dims.slice(0, a));
  const at = toNumbers(indices).map((i) => (i < 0 ? i + n : i));
  const out: number[] = [];
  for (let o = 0; o < outer; o++)
    for (const i of at) for (let k = 0; k < inner; k++) out.push(values[(o * n + i) * inner + k]!);
  return fromNumbers(data.dtype, [...data.dims.slice(0, a), ...indices.dims, ...data.dims.slice(a + 1)], out);
}

function transposeNumbers(t: Tensor, perm: readonly number[]): Tensor {
  const values = toNumbers(t);
  const dims = perm.map((p) => t.dims[p]!);
  const strides = t.dims.map((_, i) => numel(t.dims.slice(i + 1)));
  const out = values.map((_, flat) => {
    let rest = flat;
    let at = 0;
    for (let j = dims.length - 1; j >= 0; j--) {
      at += (rest % dims[j]!) * strides[perm[j]!]!;
      rest = Math.floor(rest / dims[j]!);
    }
    return values[at]!;
  });
  return fromNumbers(t.dtype, dims, out);
}

function sliceNumbers(t: Tensor, plan: SlicePlan): Tensor {
  let out = t;
  plan.dims.forEach((count, axis) => {
    const at = Array.from({ length: count }, (_, i) => plan.starts[axis]! + i * plan.steps[axis]!);
    out = gatherNumbers(out, i64([count], at), axis);
  });
  return out;
}

export const shapeOps: readonly OpDefinition[] = [
  defineOp({
    opType: 'Reshape',
    sinceVersion: 14,
    infer: (c) => [{ dtype: c.x(0).dtype, dims: reshapeDims(c) }],
    grad: (c) => withNulls(c, back(c)),
    fold: ([a, s], attrs) => {
      const asked = toNumbers(s!);
      const dims = asked.map((d, i) => (d === 0 && attrs.int('allowzero', 0) === 0 ? a!.dims[i]! : d));
      const u = dims.indexOf(-1);
      if (u >= 0) dims[u] = numel(a!.dims) / dims.reduce((p, d, i) => (i === u ? p : p * d), 1);
      return [foldReshape(a!, dims)];
    },
  }),
  defineOp({
    opType: 'Flatten',
    sinceVersion: 13,
    infer: ({ x, attrs }) => {
      const axis = attrs.int('axis', 1);
      const a = axis < 0 ? axis + x(0).dims.length : axis;
      return [{ dtype: x(0).dtype, dims: [numel(x(0).dims.slice(0, a)), numel(x(0).dims.slice(a))] }];
    },
    grad: (c) => [back(c)],
    fold: ([t], attrs) => {
      const axis = attrs.int('axis', 1);
      const a = axis < 0 ? axis + t!.dims.length : axis;
      return [foldReshape(t!, [numel(t!.dims.slice(0, a)), numel(t!.dims.slice(a))])];
    },
  }),
  defineOp({
    opType: 'Squeeze',
    sinceVersion: 13,
    infer: (c) => [{ dtype: c.x(0).dtype, dims: squeezeDims(c.x(0).dims, c.inputs[1] ? knownInts(c, 1) : null) }],
    grad: (c) => withNulls(c, back(c)),
    fold: ([a, axes]) => [foldReshape(a!, squeezeDims(a!.dims, axes ? toNumbers(axes) : null))],
  }),
  defineOp({
    opType: 'Unsqueeze',
    sinceVersion: 13,
    infer: (c) => [{ dtype: c.x(0).dtype, dims: unsqueezeDims(c.x(0).dims, knownInts(c, 1)) }],
    grad: (c) => withNulls(c, back(c)),
    fold: ([a, axes]) => [foldReshape(a!, unsqueezeDims(a!.dims, toNumbers(axes!)))],
  }),
  defineOp({
    opType: 'Transpose',
    sinceVersion: 13,
    infer: ({ x, attrs }) => {
      const dims = x(0).dims;
      const perm = attrs.ints('perm', [...dims.keys()].reverse());
      return [{ dtype: x(0).dtype, dims: perm.map((p) => dims[p]!) }];
    },
    grad: ({ op, x, attrs, dy }) => {
      const perm = attrs.ints('perm', [...x(0).dims.keys()].reverse());
      return [
        op.transpose(
          dy,
          perm.map((_, i) => perm.indexOf(i)),
        ),
      ];
    },
    fold: ([t], attrs) => [transposeNumbers(t!, attrs.ints('perm', [...t!.dims.keys()].reverse()))],
  }),
  defineOp({
    opType: 'Concat',
    sinceVersion: 13,
    infer: ({ x, inputs, attrs }) => {
      const axis = normalizeAxis(attrs.int('axis'), x(0).dims.length);
      const size = inputs.reduce((s, v) => s + v!.dims[axis]!, 0);
      return [{ dtype: x(0).dtype, dims: x(0).dims.map((d, i) => (i === axis ? size : d)) }];
    },
    grad: ({ op, x, inputs, attrs, dy }) => {
      const axis = normalizeAxis(attrs.int('axis'), x(0).dims.length);
      return op.split(
        dy,
        axis,
        inputs.map((v) => v!.dims[axis]!),
      );
    },
    fold: (parts, attrs) => {
      const first = parts[0]!;
      const axis = normalizeAxis(attrs.int('axis'), first.dims.length);
      const outer = numel(first.dims.slice(0, axis));
      const rows = parts.map((p) => ({ values: toNumbers(p!), width: numel(p!.dims.slice(axis)) }));
      const values = Array.from({ length: outer }, (_, o) =>
        rows.flatMap((r) => r.values.slice(o * r.width, (o + 1) * r.width)),
      ).flat();
      const size = parts.reduce((total, p) => total + p!.dims[axis]!, 0);
      return [
        fromNumbers(
          first.dtype,
          first.dims.map((d, i) => (i === axis ? size : d)),
          values,
        ),
      ];
    },
  }),
  defineOp({
    opType: 'Split',
    sinceVersion: 18,
    infer: (c) => {
      const axis = normalizeAxis(c.attrs.int('axis', 0), c.x(0).dims.length);
      return splitSizes(c).map((size) => ({
        dtype: c.x(0).dtype,
        dims: c.x(0).dims.map((d, i) => (i === axis ? size : d)),
      }));
    },
    grad: (c) => {
      const { op, dys, outputs } = c;
      const axis = normalizeAxis(c.attrs.int('axis', 0), c.x(0).dims.length);
      const parts = outputs.map((y, i) => dys[i] ?? op.expand(op.scalar(0, y.dtype), y.dims));
      return withNulls(c, op.concat(parts, axis));
    },
    fold: ([t, sizes], attrs) => {
      if (!sizes) throw new NorthlightError('onnx/fold', 'A split into equal parts is left to the runtime.');
      const axis = normalizeAxis(attrs.int('axis', 0), t!.dims.length);
      let at = 0;
      return toNumbers(sizes).map((n) => {
        const part = gatherNumbers(
          t!,
          i64(
            [n],
            Array.from({ length: n }, (_, i) => at + i),
          ),
          axis,
        );
        at += n;
        return part;
      });
    },
  }),
  defineOp({
    opType: 'Slice',
    sinceVersion: 13,
    infer: (c) => [{ dtype: c.x(0).dtype, dims: planOf(c).dims }],
    grad: sliceGrad,
    fold: ([t, s, e, a, st]) => [
      sliceNumbers(
        t!,
        slicePlan(t!.dims, toNumbers(s!), toNumbers(e!), a ? toNumbers(a) : null, st ? toNumbers(st) : null),
      ),
    ],
  }),
  defineOp({
    opType: 'Expand',
    sinceVersion: 13,
    infer: (c) => [{ dtype: c.x(0).dtype, dims: broadcastDims([c.x(0).dims, knownInts(c, 1)]) }],
    grad: (c) => withNulls(c, c.dy),
    fold: ([a, s]) => {
      const dims = broadcastDims([a!.dims, toNumbers(s!)]);
      return [fromNumbers(a!.dtype, dims, broadcastReader(dims)(a!))];
    },
  }),
  defineOp({
    opType: 'Tile',
    sinceVersion: 13,
    infer: (c) => {
      const repeats = knownInts(c, 1);
      return [{ dtype: c.x(0).dtype, dims: c.x(0).dims.map((d, i) => d * repeats[i]!) }];
    },
    grad: (c) => {
      const repeats = knownInts(c, 1);
      const split = c.x(0).dims.flatMap((d, i) => [repeats[i]!, d]);
      const summed = c.op.reduceSum(
        c.op.reshape(c.dy, split),
        c.x(0).dims.map((_, i) => 2 * i),
        false,
      );
      return withNulls(c, summed);
    },
    fold: ([t, repeats]) => {
      const counts = toNumbers(repeats!);
      const from = t!.dims.map((d, i) => Array.from({ length: d * counts[i]! }, (_, k) => k % d));
      return [pickNumbers(t!, from)];
    },
  }),
  defineOp({
    opType: 'Gather',
    sinceVersion: 13,
    infer: ({ x, attrs }) => {
      const axis = normalizeAxis(attrs.int('axis', 0), x(0).dims.length);
      return [{ dtype: x(0).dtype, dims: [...x(0).dims.slice(0, axis), ...x(1).dims, ...x(0).dims.slice(axis + 1)] }];
    },
    // Scatter-add of dy's rows into zeros; the gathered axis is brought to the front.
    grad: ({ op, x, attrs, dy }) => {
      const data = x(0);
      const axis = normalizeAxis(attrs.int('axis', 0), data.dims.length);
      const k = x(1).dims.length;
      const count = numel(x(1).dims);
      const rest = data.dims.filter((_, i) => i !== axis);
      const r = dy.dims.length;
      const toFront = [...Array(k).keys()].map((i) => axis + i);
      const others = [...Array(r).keys()].filter((i) => !toFront.includes(i));
      const rows = op.reshape(op.transpose(dy, [...toFront, ...others]), [count, ...rest]);
      const n = data.dims[axis]!;
      const wrapped = op.apply('Mod', [op.add2(op.cast(x(1), 'int64'), op.scalar(n, 'int64')), op.scalar(n, 'int64')]);
      const zeros = op.expand(op.scalar(0, dy.dtype), [n, ...rest]);
      const g = op.apply('ScatterND', [zeros, op.reshape(wrapped, [count, 1]), rows], { reduction: 'add' });
      const perm = [...Array(data.dims.length).keys()].map((i) => (i === axis ? 0 : i < axis ? i + 1 : i));
      return [op.transpose(g, perm), null];
    },
    fold: ([a, i], attrs) => [gatherNumbers(a!, i!, attrs.int('axis', 0))],
  }),
  defineOp({
    opType: 'Shape',
    sinceVersion: 15,
    infer: ({ x, attrs }) => {
      const r = x(0).dims.length;
      return [
        {
          dtype: 'int64',
          dims: [shapeRange(r, attrs.int('start', 0), attrs.has('end') ? attrs.int('end') : r).length],
        },
      ];
    },
    grad: 'none',
  }),
  defineOp({ opType: 'Size', sinceVersion: 13, infer: () => [{ dtype: 'int64', dims: [] }], grad: 'none' }),
  defineOp({
    opType: 'Constant',
    sinceVersion: 13,
    infer: ({ node }) => {
      const t = constantValue(node.attributes);
      return [{ dtype: t.dtype, dims: t.dims }];
    },
    grad: 'none',
  }),
  defineOp({
    opType: 'ConstantOfShape',
    sinceVersion: 9,
    infer: (c) => [{ dtype: c.attrs.has('value') ? c.attrs.tensor('value').dtype : 'float32', dims: knownInts(c, 0) }],
    grad: 'none',
    fold: ([s], attrs) => {
      const dims = toNumbers(s!);
      const value = attrs.has('value') ? attrs.tensor('value') : undefined;
      const v = value ? toNumbers(value)[0]! : 0;
      return [fromNumbers(value?.dtype ?? 'float32', dims, new Array<number>(numel(dims)).fill(v))];
    },
  }),
  defineOp({
    opType: 'Range',
    sinceVersion: 11,
    infer: (c) => {
      const [start, limit, delta] = [knownInts(c, 0)[0]!, knownInts(c, 1)[0]!, knownInts(c, 2)[0]!];
      return [{ dtype: c.x(0).dtype, dims: [Math.max(0, Math.ceil((limit - start) / delta))] }];
    },
    grad: 'none',
    fold: ([s, l, d]) => {
      const [start, limit, delta] = [toNumbers(s!)[0]!, toNumbers(l!)[0]!, toNumbers(d!)[0]!];
      const n = Math.max(0, Math.ceil((limit - start) / delta));
      return [
        fromNumbers(
          s!.dtype,
          [n],
          Array.from({ length: n }, (_, i) => start + i * delta),
        ),
      ];
    },
  }),
  defineOp({
    opType: 'Trilu',
    sinceVersion: 14,
    infer: ({ x }) => [x(0)],
    grad: (c) => [
      c.op.apply('Trilu', [c.dy, c.inputs[1] ?? null], { upper: c.attrs.int('upper', 1) }),
      ...c.inputs.slice(1).map(() => null),
    ],
    fold: ([t, diagonal], attrs) => {
      const [rows, columns] = t!.dims.slice(-2) as [number, number];
      const k = diagonal ? toNumbers(diagonal)[0]! : 0;
      const upper = attrs.int('upper', 1) === 1;
      const kept = toNumbers(t!).map((v, flat) => {
        const off = (flat % columns) - (Math.floor(flat / columns) % rows) - k;
        return (upper ? off >= 0 : off <= 0) ? v : 0;
      });
      return [fromNumbers(t!.dtype, t!.dims, kept)];
    },
  }),
  defineOp({ opType: 'ArgMax', sinceVersion: 13, infer: argDims, grad: 'none' }),
  defineOp({ opType: 'ArgMin', sinceVersion: 13, infer: argDims, grad: 'none' }),
  defineOp({
    opType: 'SpaceToDepth',
    sinceVersion: 13,
    infer: ({ x, attrs }) => {
      const [n, c, h, w] = x(0).dims as [number, number, number, number];
      const b = attrs.int('blocksize');
      return [{ dtype: x(0).dtype, dims: [n, c * b * b, h / b, w / b] }];
    },
    grad: ({ op, attrs, dy }) => [op.apply('DepthToSpace', [dy], { blocksize: attrs.int('blocksize'), mode: 'DCR' })],
  }),
  defineOp({
    opType: 'DepthToSpace',
    sinceVersion: 13,
    infer: ({ x, attrs }) => {
      const [n, c, h, w] = x(0).dims as [number, number, number, number];
      const b = attrs.int('blocksize');
      return [{ dtype: x(0).dtype, dims: [n, c / (b * b), h * b, w * b] }];
    },
    grad: ({ op, x, attrs, dy, node }) => {
      if (attrs.str('mode', 'DCR') === 'DCR')
        return [op.apply('SpaceToDepth', [dy], { blocksize: attrs.int('blocksize') })];
      // CRD: [N, C, b, b, H, W] ↔ [N, C, H, b, W, b].
      const [n, c, h, w] = x(0).dims as [number, number, number, number];
      const b = attrs.int('blocksize');
      if (c % (b * b) !== 0)
        throw new NorthlightError(
          'onnx/shape',
          `DepthToSpace "${node.name}": ${c} channels do not divide by ${b * b}.`,
        );
      const six = op.reshape(dy, [n, c / (b * b), h, b, w, b]);
      return [op.reshape(op.transpose(six, [0, 1, 3, 5, 2, 4]), x(0).dims)];
    },
  }),
];

function argDims({ x, attrs }: InferContext) {
  const axis = normalizeAxis(attrs.int('axis', 0), x(0).dims.length);
  const keep = attrs.int('keepdims', 1) === 1;
  return [{ dtype: 'int64' as DType, dims: x(0).dims.flatMap((d, i) => (i === axis ? (keep ? [1] : []) : [d])) }];
}

export function shapeRange(rank: number, start: number, end: number): number[] {
  const clamp = (v: number) => Math.min(Math.max(v < 0 ? v + rank : v, 0), rank);
  const [s, e] = [clamp(start), clamp(end)];
  return Array.from({ length: Math.max(0, e - s) }, (_, i) => s + i);
}

/** The tensor of a `Constant` node, whichever attribute holds it. */
export function constantValue(attributes: ReadonlyMap<string, { kind: string; value: unknown }>): Tensor {
  for (const [name, a] of attributes) {
    switch (name) {
      case 'value':
        return a.value as Tensor;
      case 'value_int':
        return fromNumbers('int64', [], [a.value as number]);
      case 'value_float':
        return fromNumbers('float32', [], [a.value as number]);
      case 'value_ints':
        return fromNumbers('int64', [(a.value as number[]).length], a.value as number[]);
      case 'value_floats':
        return fromNumbers('float32', [(a.value as number[]).length], a.value as number[]);
    }
  }
  throw new NorthlightError(
    'onnx/constant',
    'A Constant node holds no value that we can read (strings and sparse tensors are not supported).',
  );
}
