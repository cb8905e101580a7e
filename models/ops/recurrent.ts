import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { defineOp, type InferContext, type OpDefinition } from './define.ts';

type Context = InferContext & { readonly op: GraphBuilder };

/** One direction's weights and where it starts. */
interface Cell {
  /** x·Wᵀ plus the input bias for every step, `[T, B, gates·H]`. */
  readonly fromInput: Value;
  /** `[H, gates·H]`. */
  readonly r: Value;
  /** Recurrent bias `[gates·H]`. */
  readonly rb: Value | null;
  readonly hidden: number;
  readonly attrs: InferContext['attrs'];
}

interface State {
  readonly h: Value;
  readonly c: Value | null;
}

type Step = (op: GraphBuilder, cell: Cell, x: Value, state: State) => State;

interface Kind {
  readonly opType: string;
  readonly gates: number;
  readonly activations: readonly string[];
  /** Input that holds the first cell state. */
  readonly cellInput?: number;
  readonly step: Step;
}

const plus = (op: GraphBuilder, v: Value, bias: Value | null): Value => (bias ? op.add2(v, bias) : v);
const gates = (op: GraphBuilder, v: Value, count: number, hidden: number) =>
  op.split(v, 1, new Array<number>(count).fill(hidden));

const KINDS: readonly Kind[] = [
  {
    opType: 'RNN',
    gates: 1,
    activations: ['tanh'],
    step: (op, { r, rb }, x, { h }) => ({ h: op.tanh(op.add2(x, plus(op, op.matmul(h, r), rb))), c: null }),
  },
  {
    // Gates in the order update, reset, hidden (Cho et al. 2014, arXiv:1406.1078).
    opType: 'GRU',
    gates: 3,
    activations: ['sigmoid', 'tanh'],
    step: (op, { r, rb, hidden, attrs }, x, { h }) => {
      const [xz, xr, xh] = gates(op, x, 3, hidden) as [Value, Value, Value];
      const part = (from: number, to: number) => op.slice(r, 1, from * hidden, to * hidden);
      const bias = (from: number, to: number) => (rb ? op.slice(rb, 0, from * hidden, to * hidden) : null);
      const [hz, hr] = gates(op, plus(op, op.matmul(h, part(0, 2)), bias(0, 2)), 2, hidden) as [Value, Value];
      const update = op.sigmoid(op.add2(xz, hz));
      const reset = op.sigmoid(op.add2(xr, hr));
      const after = attrs.int('linear_before_reset', 0) === 1;
      const recurrent = after
        ? op.mul(reset, plus(op, op.matmul(h, part(2, 3)), bias(2, 3)))
        : plus(op, op.matmul(op.mul(reset, h), part(2, 3)), bias(2, 3));
      const candidate = op.tanh(op.add2(xh, recurrent));
      return { h: op.add2(candidate, op.mul(update, op.sub(h, candidate))), c: null };
    },
  },
  {
    // Gates in the order input, output, forget, cell (Hochreiter and Schmidhuber 1997).
    opType: 'LSTM',
    gates: 4,
    activations: ['sigmoid', 'tanh', 'tanh'],
    cellInput: 6,
    step: (op, { r, rb, hidden }, x, { h, c }) => {
      const all = gates(op, op.add2(x, plus(op, op.matmul(h, r), rb)), 4, hidden) as [Value, Value, Value, Value];
      const [i, o, f] = all.slice(0, 3).map((v) => op.sigmoid(v)) as [Value, Value, Value];
      const next = op.add2(op.mul(f, c!), op.mul(i, op.tanh(all[3])));
      return { h: op.mul(o, op.tanh(next)), c: next };
    },
  },
];

function refuse(c: InferContext, what: string): never {
  throw new NorthlightError(
    'onnx/unsupported',
    `${c.node.opType} "${c.node.name}" has ${what}, which we do not write out.`,
    'Export the model again without it, or freeze everything upstream of that node in a model of its own.',
  );
}

function check(c: InferContext, kind: Kind): void {
  const names = c.node.attributes.get('activations');
  const directions = c.x(1).dims[0]!;
  if (names?.kind === 'strings') {
    const usual = Array.from({ length: directions }, () => kind.activations).flat();
    if (names.value.join().toLowerCase() !== usual.join()) refuse(c, `the activations ${names.value.join(', ')}`);
  }
  for (const name of ['clip', 'activation_alpha', 'activation_beta']) {
    if (c.attrs.has(name)) refuse(c, `the attribute ${name}`);
  }
  if (c.attrs.int('input_forget', 0) === 1) refuse(c, 'coupled input and forget gates');
  if (c.inputs[7]) refuse(c, 'peephole weights');
  if (c.inputs[4]) {
    const lengths = c.constant(4);
    const steps = c.x(0).dims[c.attrs.int('layout', 0) === 1 ? 1 : 0]!;
    const full = lengths && Array.from(lengths.data as ArrayLike<number>, Number).every((n) => n === steps);
    if (!full) refuse(c, 'sequences of different lengths');
  }
}

const recurrent = (kind: Kind): OpDefinition =>
  defineOp({
    opType: kind.opType,
    sinceVersion: 14,
    infer: (c) => {
      const batchFirst = c.attrs.int('layout', 0) === 1;
      const { dtype, dims } = c.x(0);
      const [steps, batch] = batchFirst ? [dims[1]!, dims[0]!] : [dims[0]!, dims[1]!];
      const directions = c.x(1).dims[0]!;
      const hidden = c.x(2).dims[2]!;
      const last = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
      const all = batchFirst ? [batch, steps, directions, hidden] : [steps, directions, batch, hidden];
      return [all, last, last].map((d) => ({ dtype, dims: d }));
    },
    decompose: (c) => unroll(c, kind),
  });

/** The steps one after another. */
function unroll(c: Context, kind: Kind): Value[] {
  check(c, kind);
  const { op, attrs, inputs } = c;
  const batchFirst = attrs.int('layout', 0) === 1;
  const x = batchFirst ? op.transpose(c.x(0), [1, 0, 2]) : c.x(0);
  const [steps, batch] = x.dims as [number, number];
  const [directions, wide] = c.x(1).dims as [number, number];
  const hidden = wide / kind.gates;
  const of = (v: Value, d: number) => op.reshape(op.slice(v, 0, d, d + 1), v.dims.slice(1));
  const start = (i: number, d: number) => {
    const given = inputs[i];
    if (!given) return op.expand(op.scalar(0, x.dtype), [batch, hidden]);
    return of(batchFirst ? op.transpose(given, [1, 0, 2]) : given, d);
  };
  const reversed = attrs.str('direction', 'forward') === 'reverse';
  const runs = Array.from({ length: directions }, (_, d) => {
    const bias = inputs[3] ? of(inputs[3], d) : null;
    const projected = op.matmul(x, op.transpose(of(c.x(1), d), [1, 0]));
    const cell: Cell = {
      fromInput: plus(op, projected, bias && op.slice(bias, 0, 0, wide)),
      r: op.transpose(of(c.x(2), d), [1, 0]),
      rb: bias && op.slice(bias, 0, wide, 2 * wide),
      hidden,
      attrs,
    };
    let state: State = { h: start(5, d), c: kind.cellInput === undefined ? null : start(kind.cellInput, d) };
    const hs = new Array<Value>(steps);
    for (let k = 0; k < steps; k++) {
      const t = reversed || d === 1 ? steps - 1 - k : k;
      state = kind.step(op, cell, of(cell.fromInput, t), state);
      hs[t] = state.h;
    }
    return { hs, state };
  });
  // [T, D, B, H] and [D, B, H]
  const y = op.concat(
    Array.from({ length: steps }, (_, t) => runs.map((run) => op.reshape(run.hs[t]!, [1, 1, batch, hidden]))).flat(),
    0,
  );
  const all = op.reshape(y, [steps, directions, batch, hidden]);
  const last = (pick: (s: State) => Value) => {
    const v = op.concat(
      runs.map((run) => op.reshape(pick(run.state), [1, batch, hidden])),
      0,
    );
    return batchFirst ? op.transpose(v, [1, 0, 2]) : v;
  };
  const outputs = [batchFirst ? op.transpose(all, [2, 0, 1, 3]) : all, last((s) => s.h)];
  return kind.cellInput === undefined ? outputs : [...outputs, last((s) => s.c!)];
}

/** Recurrent layers, unrolled over their known number of steps. */
export const recurrentOps: readonly OpDefinition[] = KINDS.map(recurrent);
