import { addGradients } from '#models/autodiff/grad.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { DATA_TYPE, dtypeOf } from '#models/onnx/data-types.ts';
import {
  type Attribute,
  type Graph,
  type Initializer,
  int,
  isExternal,
  type Model,
  type ValueInfo,
} from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { type DType, dimsEqual, fromNumbers, isFloat, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import type { CaseValue, OnnxCase } from '#test/support/onnx-cases.ts';

type Float = 'float64' | 'float32';

/** What became of a case. `wrong` is the only one that is a fault. */
export type CaseResult =
  | { readonly kind: 'checked'; readonly precision: Float; readonly error: number; readonly asStandard: boolean }
  /** Nothing to differentiate: no floating input, or no gradient flows. */
  | { readonly kind: 'no gradient'; readonly why: string }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'runtime cannot run it'; readonly why: string }
  | { readonly kind: 'not finite' }
  | { readonly kind: 'random' }
  | { readonly kind: 'wrong'; readonly why: string };

/** Operators that draw anew in every run, so that there is nothing to compare with. */
const RANDOM = [
  'Dropout',
  'Bernoulli',
  'RandomNormal',
  'RandomNormalLike',
  'RandomUniform',
  'RandomUniformLike',
  'Multinomial',
];

/**
 * Steps of the differences and error allowed, relative to the gradient's norm. In float32 a step long enough to be free of
 * rounding may cross a kink and a short one may drown, so one of several must fit: a wrong rule fits none.
 */
const BOUNDS: Record<Float, { steps: readonly number[]; tolerance: number; unit: number }> = {
  float64: { steps: [1e-6], tolerance: 1e-6, unit: 2 ** -53 },
  float32: { steps: [1e-3, 1e-2, 1e-4], tolerance: 2e-2, unit: 2 ** -24 },
};

/** Operators that the runtime computes in float32 inside even where it takes float64. */
const FLOAT32_INSIDE = [
  'GroupNormalization',
  'LayerNormalization',
  'RMSNormalization',
  'InstanceNormalization',
  'Attention',
  'Shrink',
];

/** Moves a point off kinks and ties: the cases are full of zeros, equal values and whole numbers. */
const SHIFTS: readonly ((x: number, u: number) => number)[] = [
  (x, u) => x + 0.02 * u,
  (x, u) => x * (1 - 0.02 * Math.abs(u)), // for domains with an upper end
  (x, u) => x * (1 + 0.02 * Math.abs(u)), // for those with a lower end
];

/**
 * Imports the case's model, appends its gradient, and compares it along a random direction of all floating inputs at once
 * with the central difference of the model as it was written, run by the runtime: in float64 where it has the kernels.
 * Also compares the imported graph's outputs with the standard's own.
 */
export async function checkCase(c: OnnxCase, model: Model, seed = 1): Promise<CaseResult> {
  const rng = new Rng(seed).fork(c.name);
  const data = new Map<string, Tensor>();
  for (const [i, info] of model.graph.inputs.entries()) {
    const value = c.inputs[i];
    if (!value || !('dtype' in value) || info.containers)
      return { kind: 'refused', why: 'an input that is no tensor of a supported type' };
    data.set(info.name, asDeclared(value, info.dtype));
  }
  const variable = new Set(model.graph.inputs.filter((i) => isFloat(i.dtype)).map((i) => i.name));
  if (variable.size === 0) return { kind: 'no gradient', why: 'no floating input' };

  let built: Built | undefined;
  for (let tries = 0; built === undefined; tries++) {
    try {
      built = build(model, data, variable, 'float64');
    } catch (error) {
      if (!(error instanceof NorthlightError)) throw error;
      // A floating input that decides a shape (the scales of a Resize) is fixed, as an exporter would have it.
      const named = [...variable].filter((n) => error.message.includes(`"${n}"`));
      const small = [...variable].filter((n, i) => i > 0 && data.get(n)!.dims.length <= 1);
      const deciding = named.length > 0 ? named : small;
      if (tries < 4 && /dynamic-shape|run-time|constant/.test(error.code) && deciding.length > 0) {
        for (const n of deciding) variable.delete(n);
        continue;
      }
      if (error.code === 'onnx/invalid-node') return { kind: 'wrong', why: `${error.message} ${error.cause}` };
      return { kind: 'refused', why: `${error.code}: ${opNames(model)}` };
    }
  }
  if (RANDOM.some((o) => built.model.graph.nodes.some((n) => n.opType === o))) return { kind: 'random' };
  if (built.grads.size === 0) return { kind: 'no gradient', why: 'no gradient flows' };

  const forward = await openIn(
    (dtype) => ({ model: retyped(fixed(model, data, variable), dtype) }),
    // Some kernels say only when they run that they take no float64.
    async (session, dtype) => {
      await session.run(feed(dtype, data, variable));
    },
  );
  if ('error' in forward) return { kind: 'runtime cannot run it', why: forward.error };
  const gradient = await openIn((dtype) => (dtype === 'float64' ? built! : build(model, data, variable, 'float32')));
  try {
    if ('error' in gradient) return { kind: 'wrong', why: `the gradient graph does not open: ${gradient.error}` };
    const declared = model.graph.outputs.map((o) => o.dtype);
    return await compare(c, { data, variable, forward, gradient, declared }, rng);
  } finally {
    await forward.session.release();
    if ('session' in gradient) await gradient.session.release();
  }
}

/** onnx 1.12 keeps bfloat16 as bare 16-bit patterns. */
const asDeclared = (t: Tensor, dtype: DType): Tensor =>
  dtype === 'bfloat16' && t.dtype === 'uint16' ? ({ ...t, dtype } as Tensor) : t;

const feed = (dtype: Float, data: ReadonlyMap<string, Tensor>, names: Iterable<string>): Record<string, Tensor> =>
  Object.fromEntries([...names].map((n) => [n, fromNumbers(dtype, data.get(n)!.dims, toNumbers(data.get(n)!))]));

interface Opened<T> {
  readonly dtype: Float;
  readonly made: T;
  readonly session: Session;
}

interface Parts {
  readonly data: ReadonlyMap<string, Tensor>;
  readonly variable: ReadonlySet<string>;
  readonly forward: Opened<{ model: Model }>;
  readonly gradient: Opened<Built>;
  /** Element types of the outputs. */
  readonly declared: readonly DType[];
}

async function compare(c: OnnxCase, parts: Parts, rng: Rng): Promise<CaseResult> {
  const { data, variable, forward, gradient } = parts;
  const names = [...variable];
  const written = names.map((n) => toNumbers(data.get(n)!));
  const directions = names.map((n, i) => written[i]!.map((_, k) => rng.fork(n, 'direction', k).normal()));
  const feedAt = (dtype: Float, at: readonly (readonly number[])[]): Record<string, Tensor> =>
    Object.fromEntries(names.map((n, i) => [n, fromNumbers(dtype, data.get(n)!.dims, at[i]!)]));
  const { made } = gradient;
  const weights = made.cotangents.map((v, i) =>
    Array.from({ length: numel(v.dims) }, (_, k) => rng.fork('weight', i, k).normal()),
  );
  const gradientAt = async (at: readonly (readonly number[])[]) => {
    const feeds = feedAt(gradient.dtype, at);
    made.cotangents.forEach((v, i) => {
      feeds[v.name] = fromNumbers(v.dtype, v.dims, weights[i]!);
    });
    const results = await gradient.session.run(feeds);
    return (v: Value) => results[v.name] ?? feeds[v.name]!;
  };

  const { graph } = forward.made.model;
  const forwardAt = async (at: readonly (readonly number[])[]) => {
    const results = await forward.session.run(feedAt(forward.dtype, at));
    return graph.outputs.map((o) => results[o.name]!);
  };
  /** Where the imported graph says something else than the model as written. */
  const imported = (got: (v: Value) => Tensor, expected: readonly Tensor[]): string | null => {
    for (const [i, v] of made.outputs.entries()) {
      const g = got(v);
      if (!dimsEqual(g.dims, v.dims)) return `output ${i} is inferred as [${v.dims}], the runtime makes [${g.dims}]`;
      const worst = disagreement(g, expected[i]!, parts.declared[i]!);
      if (worst !== null) return `output ${i} changes on import: ${worst}`;
    }
    return null;
  };

  const reference = await forwardAt(written);
  const asWritten = await gradientAt(written);
  // Where the runtime itself departs from the standard (its kernels are of another edition), the runtime is followed.
  const standard = c.outputs.map((o, i) => disagreement(asWritten(made.outputs[i]!), o, parts.declared[i]!));
  const own = reference.map((t, i) => disagreement(t, c.outputs[i], parts.declared[i]!));
  const departs = standard.findIndex((d, i) => d !== null && own[i] === null);
  if (departs >= 0) return { kind: 'wrong', why: `output ${departs} is not the standard's: ${standard[departs]}` };
  const asStandard = own.every((d) => d === null);
  const changed = imported(asWritten, reference);
  if (changed !== null && !(standard.every((d) => d === null) && !asStandard)) return { kind: 'wrong', why: changed };

  const seeded = made.outputs.flatMap((_, i) => (made.cotangents.some((k) => k.name === `cotangent/${i}`) ? [i] : []));
  const loss = async (at: readonly (readonly number[])[]) => {
    const results = await forwardAt(at);
    let sum = 0;
    let size = 0;
    seeded.forEach((o, k) => {
      toNumbers(results[o]!).forEach((y, e) => {
        sum += y * weights[k]![e]!;
        size += Math.abs(y * weights[k]![e]!);
      });
    });
    return { sum, size };
  };
  const inside = model64(forward, gradient) && graph.nodes.some((n) => FLOAT32_INSIDE.includes(n.opType));
  const precision: Float =
    forward.dtype === 'float64' && gradient.dtype === 'float64' && !inside ? 'float64' : 'float32';
  const { steps, tolerance, unit } = BOUNDS[precision];
  for (const shift of SHIFTS) {
    const point = names.map((n, i) =>
      written[i]!.map((x, k) =>
        Math.fround(shift(Number.isFinite(x) ? x : 0.5, 2 * rng.fork(n, 'shift', k).uniform() - 1)),
      ),
    );
    const resultsAt = await gradientAt(point);
    const grads = names.map((n) => {
      const v = made.grads.get(n);
      return v ? toNumbers(resultsAt(v)) : null;
    });
    const norm = Math.hypot(...grads.flatMap((g) => (g ? [Math.hypot(...g)] : [])));
    const derivative = grads.reduce((s, g, i) => s + (g ? g.reduce((t, x, k) => t + x * directions[i]![k]!, 0) : 0), 0);
    const moved = (by: number) => point.map((xs, i) => xs.map((x, k) => x + by * directions[i]![k]!));
    const tried: string[] = [];
    for (const step of steps) {
      const up = await loss(moved(step));
      const down = await loss(moved(-step));
      if (![up.sum, down.sum, derivative].every(Number.isFinite)) continue;
      const difference = (up.sum - down.sum) / (2 * step);
      const size = Math.max(norm, Math.abs(difference), 1e-300);
      const miss = Math.abs(difference - derivative);
      if (miss <= tolerance * size + (8 * unit * up.size) / step)
        return { kind: 'checked', precision, error: miss / size, asStandard };
      tried.push(String(difference));
    }
    if (tried.length === 0) continue;
    const moves = imported(resultsAt, await forwardAt(point));
    if (moves !== null && asStandard) return { kind: 'wrong', why: `off the point, ${moves}` };
    return { kind: 'wrong', why: `rule ${derivative}, differences ${tried.join(', ')} (norm ${norm}, ${precision})` };
  }
  return { kind: 'not finite' };
}

const model64 = (a: { dtype: Float }, b: { dtype: Float }) => a.dtype === 'float64' && b.dtype === 'float64';

const MAX_FLOAT32 = 3.4028234663852886e38;

function disagreement(got: Tensor, standard: CaseValue | undefined, declared: DType): string | null {
  if (!standard || !('dtype' in standard) || standard.dtype === 'string') return null;
  const expected = asDeclared(standard, declared);
  // The lowest number of a type stands for −∞ in masks, whatever the type.
  const held = (t: Tensor) =>
    toNumbers(t).map((x) => (Number.isFinite(x) ? Math.min(Math.max(x, -MAX_FLOAT32), MAX_FLOAT32) : x));
  const a = held(got);
  const b = held(expected);
  if (a.length !== b.length) return `${a.length} elements for ${b.length}`;
  const bound = expected.dtype === 'float16' || expected.dtype === 'bfloat16' ? 2e-2 : 1e-3;
  const worst = a.findIndex(
    (x, i) => !(Object.is(x, b[i]) || x === b[i] || Math.abs(x - b[i]!) <= bound * Math.max(1, Math.abs(b[i]!)) + 1e-7),
  );
  return worst < 0 ? null : `element ${worst} is ${a[worst]}, not ${b[worst]}`;
}

interface Built {
  readonly model: Model;
  readonly outputs: readonly Value[];
  readonly cotangents: readonly Value[];
  /** By input; without those that no gradient reaches. */
  readonly grads: ReadonlyMap<string, Value>;
}

function build(model: Model, data: ReadonlyMap<string, Tensor>, variable: ReadonlySet<string>, dtype: Float): Built {
  const op: GraphBuilder = createBuilder();
  const ready = retyped(fixed(model, data, variable), dtype);
  const inputs = Object.fromEntries([...variable].map((n) => [n, data.get(n)!.dims]));
  const imported = importGraph(op, ready, { inputs });
  const outputs = [...imported.outputs.values()];
  const seeds = outputs.flatMap((value, i) =>
    isFloat(value.dtype) ? [{ value, cotangent: op.input(`cotangent/${i}`, value.dtype, value.dims) }] : [],
  );
  const wanted = [...imported.inputs.values()];
  const found = addGradients(op, seeds, wanted);
  const grads = new Map<string, Value>();
  for (const v of wanted) {
    const g = found.get(v.name);
    if (g) grads.set(v.name, g);
  }
  for (const v of new Set([...outputs, ...grads.values()])) if (!op.inputs.some((i) => i.name === v.name)) op.output(v);
  // A graph whose every result is one of its inputs: the runtime wants one output that is made.
  if (op.outputs.length === 0) op.output(outputs[0]!, 'made');
  return { model: op.toModel('case'), outputs, cotangents: seeds.map((s) => s.cotangent), grads };
}

/** The model with every input that is not differentiated as a weight. */
function fixed(model: Model, data: ReadonlyMap<string, Tensor>, variable: ReadonlySet<string>): Model {
  const { graph } = model;
  const initializers = new Map<string, Initializer>(graph.initializers);
  for (const i of graph.inputs) if (!variable.has(i.name)) initializers.set(i.name, data.get(i.name)!);
  const inputs = graph.inputs.flatMap((i) => (variable.has(i.name) ? [{ ...i, dims: data.get(i.name)!.dims }] : []));
  return { ...model, graph: { ...graph, inputs, initializers } };
}

/** The model with every floating type replaced by one. */
function retyped(model: Model, dtype: Float): Model {
  const tensor = (t: Initializer): Initializer =>
    isFloat(t.dtype) && !isExternal(t) ? fromNumbers(dtype, t.dims, toNumbers(t)) : t;
  const info = (v: ValueInfo): ValueInfo => (isFloat(v.dtype) ? { ...v, dtype } : v);
  const attribute = (name: string, a: Attribute): Attribute => {
    if (a.kind === 'tensor') return { kind: 'tensor', value: tensor(a.value) as Tensor };
    if (a.kind === 'graph') return { kind: 'graph', value: inGraph(a.value) };
    if (a.kind !== 'int' || !(name === 'to' || name === 'dtype')) return a;
    const type = dtypeOf(a.value);
    return type && isFloat(type) ? int(DATA_TYPE[dtype]) : a;
  };
  const inGraph = (g: Graph): Graph => ({
    ...g,
    inputs: g.inputs.map(info),
    outputs: g.outputs.map(info),
    valueInfo: new Map(),
    initializers: new Map([...g.initializers].map(([n, t]) => [n, tensor(t)])),
    nodes: g.nodes.map((n) => ({ ...n, attributes: new Map([...n.attributes].map(([k, a]) => [k, attribute(k, a)])) })),
  });
  return { ...model, graph: inGraph(model.graph) };
}

async function openIn<T extends { model: Model }>(
  make: (dtype: Float) => T,
  probe: (session: Session, dtype: Float) => Promise<void> = async () => {},
): Promise<Opened<T> | { error: string }> {
  let first = '';
  for (const dtype of ['float64', 'float32'] as const) {
    const made = make(dtype);
    try {
      const session = await createSession(encodeModel(made.model), { threads: 1, optimization: 'disabled' });
      await probe(session, dtype);
      return { dtype, made, session };
    } catch (error) {
      if (!(error instanceof NorthlightError)) throw error;
      first = `${error.code} ${error.message.slice(0, 300)}`;
    }
  }
  return { error: first };
}

const opNames = (model: Model) => [...new Set(model.graph.nodes.map((n) => n.opType))].slice(0, 3).join(', ');
