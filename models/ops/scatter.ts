import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { fromNumbers, i64, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { defineOp, type GradContext, type NodeAttributes, normalizeAxis, type OpDefinition } from './define.ts';

/** How an operator addresses elements of a tensor by indices: `take` reads them, `put` writes or combines them. */
interface Addressing {
  readonly take: (op: GraphBuilder, from: Value) => Value;
  readonly put: (op: GraphBuilder, onto: Value, updates: Value, reduction: string) => Value;
}

const zerosLike = (op: GraphBuilder, v: Value): Value => op.expand(op.scalar(0, v.dtype), v.dims);

const byElements = (c: GradContext): Addressing => {
  const axis = c.attrs.int('axis', 0);
  return {
    take: (op, from) => op.apply('GatherElements', [from, c.x(1)], { axis }),
    put: (op, onto, updates, reduction) => op.apply('ScatterElements', [onto, c.x(1), updates], { axis, reduction }),
  };
};

const byCoordinates = (c: GradContext): Addressing => ({
  take: (op, from) => op.apply('GatherND', [from, c.x(1)]),
  put: (op, onto, updates, reduction) => op.apply('ScatterND', [onto, c.x(1), updates], { reduction }),
});

/**
 * Gradients of data and updates. An overwritten element has none; a sum passes it on; a product gives each factor the
 * product of the others (also when some are zero); an extremum shares it equally among those that attain it.
 */
function scatterGrad(c: GradContext, { take, put }: Addressing): (Value | null)[] {
  const { op, x, y, dy, needs, attrs } = c;
  const [data, updates] = [x(0), x(2)];
  const one = op.scalar(1, dy.dtype);
  const zero = op.scalar(0, dy.dtype);
  const reduction = attrs.str('reduction', 'none');
  const number = (condition: Value) => op.cast(condition, dy.dtype);
  if (reduction === 'none') {
    return [needs(0) ? put(op, dy, zerosLike(op, updates), 'none') : null, null, needs(2) ? take(op, dy) : null];
  }
  if (reduction === 'add') return [dy, null, needs(2) ? take(op, dy) : null];
  if (reduction === 'mul') {
    const isZero = (v: Value) => op.apply('Equal', [v, zero]);
    const safe = (v: Value) => op.where(isZero(v), one, v);
    const zeros = put(op, number(isZero(data)), number(isZero(updates)), 'add');
    const rest = put(op, safe(data), safe(updates), 'mul');
    const others = (v: Value, count: Value, product: Value) =>
      op.where(
        isZero(v),
        op.where(op.apply('Equal', [count, one]), product, zero),
        op.where(isZero(count), op.div(product, safe(v)), zero),
      );
    return [
      needs(0) ? op.mul(dy, others(data, zeros, rest)) : null,
      null,
      needs(2) ? op.mul(take(op, dy), others(updates, take(op, zeros), take(op, rest))) : null,
    ];
  }
  const mine = number(op.apply('Equal', [data, y]));
  const theirs = number(op.apply('Equal', [updates, take(op, y)]));
  const share = op.div(dy, put(op, mine, theirs, 'add'));
  return [needs(0) ? op.mul(mine, share) : null, null, needs(2) ? op.mul(theirs, take(op, share)) : null];
}

const strides = (dims: readonly number[]) => dims.map((_, i) => numel(dims.slice(i + 1)));

/** Flat positions in `dims` that indices along one axis address, in the order of the indices. */
function elementPositions(dims: readonly number[], indices: Tensor, attrs: NodeAttributes): number[] {
  const axis = normalizeAxis(attrs.int('axis', 0), dims.length);
  const [step, own] = [strides(dims), strides(indices.dims)];
  return toNumbers(indices).map((index, flat) =>
    indices.dims.reduce((at, d, i) => {
      const k = i === axis ? (index < 0 ? index + dims[i]! : index) : Math.floor(flat / own[i]!) % d;
      return at + k * step[i]!;
    }, 0),
  );
}

/** Flat positions of the blocks of `data` that coordinates address, and the size of a block. */
function blockPositions(dims: readonly number[], indices: Tensor, batchDims = 0): { at: number[]; block: number } {
  const depth = indices.dims.at(-1)!;
  const values = toNumbers(indices);
  const step = strides(dims);
  const block = numel(dims.slice(batchDims + depth));
  const count = numel(indices.dims.slice(0, -1));
  const perBatch = numel(indices.dims.slice(batchDims, -1));
  const at = Array.from({ length: count }, (_, row) => {
    let flat = Math.floor(row / perBatch) * numel(dims.slice(batchDims));
    for (let k = 0; k < depth; k++) {
      const index = values[row * depth + k]!;
      flat += (index < 0 ? index + dims[batchDims + k]! : index) * step[batchDims + k]!;
    }
    return flat;
  });
  return { at, block };
}

/** Coordinates with the batch axes written out, as ScatterND reads them. */
function withBatch(op: GraphBuilder, indices: Value, batchDims: number): Value {
  if (batchDims === 0) return indices;
  const rows = indices.dims.slice(0, -1);
  const own = strides(rows);
  const batch = Array.from({ length: numel(rows) }, (_, flat) =>
    rows.slice(0, batchDims).map((d, i) => Math.floor(flat / own[i]!) % d),
  );
  return op.concat([op.constant(i64([...rows, batchDims], batch.flat())), indices], rows.length);
}

export const scatterOps: readonly OpDefinition[] = [
  defineOp({
    opType: 'GatherElements',
    sinceVersion: 13,
    infer: ({ x }) => [{ dtype: x(0).dtype, dims: x(1).dims }],
    grad: (c) => [byElements(c).put(c.op, zerosLike(c.op, c.x(0)), c.dy, 'add'), null],
    fold: ([data, indices], attrs) => {
      const values = toNumbers(data!);
      const at = elementPositions(data!.dims, indices!, attrs);
      return [
        fromNumbers(
          data!.dtype,
          indices!.dims,
          at.map((i) => values[i]!),
        ),
      ];
    },
  }),
  defineOp({
    opType: 'GatherND',
    sinceVersion: 13,
    infer: ({ x, attrs }) => {
      const from = attrs.int('batch_dims', 0) + x(1).dims.at(-1)!;
      return [{ dtype: x(0).dtype, dims: [...x(1).dims.slice(0, -1), ...x(0).dims.slice(from)] }];
    },
    grad: ({ op, x, attrs, dy }) => [
      op.apply('ScatterND', [zerosLike(op, x(0)), withBatch(op, x(1), attrs.int('batch_dims', 0)), dy], {
        reduction: 'add',
      }),
      null,
    ],
    fold: ([data, indices], attrs) => {
      const batchDims = attrs.int('batch_dims', 0);
      const { at, block } = blockPositions(data!.dims, indices!, batchDims);
      const values = toNumbers(data!);
      const dims = [...indices!.dims.slice(0, -1), ...data!.dims.slice(batchDims + indices!.dims.at(-1)!)];
      return [
        fromNumbers(
          data!.dtype,
          dims,
          at.flatMap((i) => values.slice(i, i + block)),
        ),
      ];
    },
  }),
  defineOp({
    opType: 'ScatterElements',
    sinceVersion: 18,
    infer: ({ x }) => [x(0)],
    grad: (c) => scatterGrad(c, byElements(c)),
  }),
  defineOp({
    opType: 'ScatterND',
    sinceVersion: 18,
    infer: ({ x }) => [x(0)],
    grad: (c) => scatterGrad(c, byCoordinates(c)),
    fold: ([data, indices, updates], attrs) => {
      const values = toNumbers(data!);
      const given = toNumbers(updates!);
      const { at, block } = blockPositions(data!.dims, indices!);
      const combine = combining[attrs.str('reduction', 'none')]!;
      at.forEach((from, row) => {
        for (let k = 0; k < block; k++) values[from + k] = combine(values[from + k]!, given[row * block + k]!);
      });
      return [fromNumbers(data!.dtype, data!.dims, values)];
    },
  }),
];

const combining: Readonly<Record<string, (old: number, update: number) => number>> = {
  none: (_, update) => update,
  add: (old, update) => old + update,
  mul: (old, update) => old * update,
  max: Math.max,
  min: Math.min,
};
