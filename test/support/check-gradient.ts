import { addGradients } from '#models/autodiff/grad.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import type { OpDefinition } from '#models/ops/define.ts';
import { createBuilder, operators } from '#models/ops/index.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { type DType, dimsEqual, fromNumbers, isFloat, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';

/** Draws the `n` values of an input. */
export type Draw = (rng: Rng, n: number) => number[];

/** A differentiable expression whose every gradient is compared with differences. */
export interface GradientCase {
  readonly title: string;
  /** Float inputs in the order that `build` takes them: a shape (standard normal values), or a shape and a draw. */
  readonly inputs: Readonly<Record<string, readonly number[] | readonly [dims: readonly number[], draw: Draw]>>;
  /** Makes the outputs; float constants must have the inputs' dtype, because the case runs in both precisions. */
  readonly build: (op: GraphBuilder, ...inputs: Value[]) => Value | readonly Value[];
  /** Linear in each input alone: differences are exact at any step, so a long one is taken and the bound is tight. */
  readonly linear?: boolean;
  /** The runtime computes this in float32 even where it takes float64. */
  readonly float32?: boolean;
  /** A gradient of exactly zero is possible here (a window over nothing but padding). */
  readonly mayVanish?: boolean;
  /** Differentiates the nodes as they are written, without the importer (which drops Identity and Dropout). */
  readonly direct?: boolean;
  /** The runtime has no kernel for the nodes as written (or none in float64): differences are of the imported graph. */
  readonly decomposed?: boolean;
  /** The opset the graph is written in, where its operators are newer than the one that we build in. */
  readonly opset?: number;
}

export const normal: Draw = (rng, n) => Array.from({ length: n }, () => rng.normal());
/** In 0.5 … 2. */
export const positive: Draw = (rng, n) => Array.from({ length: n }, () => 0.5 + 1.5 * rng.uniform());
/** Magnitude 0.2 … 1.5, either sign: away from a kink at zero. */
export const awayFromZero: Draw = (rng, n) =>
  Array.from({ length: n }, () => (rng.uniform() < 0.5 ? -1 : 1) * (0.2 + 1.3 * rng.uniform()));
/** No two closer than 0.08, none closer to zero than 0.04: away from ties. */
export const apart: Draw = (rng, n) =>
  rng.shuffle(Array.from({ length: n }, (_, i) => 0.1 * (i + 0.5 - n / 2) + 0.005 + 0.01 * (rng.uniform() - 0.5)));

type Float = 'float64' | 'float32';
type Precision = Float | 'mixed';

/**
 * Step of the differences and the error allowed, relative to the gradient's norm. `mixed`: differences in float64, the
 * gradient in float32, which then has only its own rounding as an excuse.
 */
const BOUNDS: Record<Precision | 'linear', { epsilon: number; tolerance: number }> = {
  float64: { epsilon: 1e-6, tolerance: 1e-6 },
  mixed: { epsilon: 1e-6, tolerance: 2e-5 },
  float32: { epsilon: 1e-3, tolerance: 2e-2 },
  linear: { epsilon: 0.5, tolerance: 1e-4 },
};

const DIRECTIONS = 3;

const dimsOf = (given: GradientCase['inputs'][string]): readonly number[] =>
  given.length === 2 && typeof given[1] === 'function' ? (given[0] as readonly number[]) : (given as readonly number[]);
const drawOf = (given: GradientCase['inputs'][string]): Draw =>
  given.length === 2 && typeof given[1] === 'function' ? given[1] : normal;

interface Forward {
  readonly op: GraphBuilder;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly model: Model;
}

function buildForward(c: GradientCase, dtype: DType): Forward {
  const op = createBuilder();
  const inputs = Object.entries(c.inputs).map(([name, given]) => op.input(name, dtype, dimsOf(given)));
  const made = c.build(op, ...inputs);
  const outputs = Array.isArray(made) ? (made as readonly Value[]) : [made as Value];
  for (const v of outputs) op.output(v);
  const model = op.toModel(c.title);
  if (c.opset) model.opsets.set('', c.opset);
  return { op, inputs, outputs, model };
}

/** The graph that differences are taken of. */
function buildRunnable(c: GradientCase, dtype: DType): Forward {
  const written = buildForward(c, dtype);
  if (!c.decomposed) return written;
  const op = createBuilder();
  const imported = importGraph(op, written.model, { inputs: {} });
  const inputs = written.inputs.map((v) => imported.inputs.get(v.name)!);
  const outputs = written.outputs.map((v) => imported.outputs.get(v.name)!);
  for (const v of outputs) op.output(v);
  return { op, inputs, outputs, model: op.toModel(c.title) };
}

interface Gradient {
  readonly model: Model;
  /** By graph input of the case; null where no path leads to an output. */
  readonly grads: ReadonlyMap<string, Value | null>;
  readonly outputs: readonly Value[];
  readonly cotangents: readonly Value[];
  /** What the shape rules say about every value that a node makes. */
  readonly made: readonly Value[];
}

/** The case's graph with its gradients, exactly as a training graph gets them; nothing is run. */
export function buildGradient(c: GradientCase, dtype: DType): Gradient {
  const forward = buildForward(c, dtype);
  let { op, inputs, outputs } = forward;
  if (c.direct) {
    op.outputs.length = 0;
  } else {
    op = createBuilder();
    const imported = importGraph(op, forward.model, { inputs: {} });
    inputs = inputs.map((v) => imported.inputs.get(v.name)!);
    outputs = outputs.map((v) => imported.outputs.get(v.name)!);
  }
  const differentiated = outputs.filter((v) => isFloat(v.dtype));
  const cotangents = differentiated.map((v, i) => op.input(`cotangent/${i}`, v.dtype, v.dims));
  const grads = addGradients(
    op,
    differentiated.map((value, i) => ({ value, cotangent: cotangents[i]! })),
    inputs,
  );
  for (const v of [...outputs, ...grads.values()]) if (v) op.output(v);
  // Of what the rules appended, only what these outputs need is ever run.
  const needed = op.toModel(c.title).graph.nodes;
  const made = needed.flatMap((n) => n.outputs).map((name) => op.value(name));
  op.outputs.length = 0;
  const shown = new Map([...outputs, ...grads.values(), ...made].flatMap((v) => (v ? [[v.name, v]] : [])));
  // A graph input cannot be a graph output of the same name.
  for (const v of shown.values()) if (!op.inputs.includes(v)) op.output(v);
  return { model: op.toModel(c.title), grads, outputs, cotangents, made };
}

/** A session in float64, or null where the runtime has no double kernel for some operator. */
async function open(model: Model): Promise<Session | null> {
  try {
    return await createSession(encodeModel(model), { optimization: 'disabled', threads: 1 });
  } catch (error) {
    const cause = error instanceof NorthlightError ? error.cause : undefined;
    if (cause instanceof Error && cause.message.includes('Could not find an implementation')) return null;
    throw error;
  }
}

async function openIn<T extends { model: Model }>(
  dtypes: readonly Float[],
  make: (dtype: Float) => T,
): Promise<[Float, T, Session]> {
  for (const dtype of dtypes) {
    const built = make(dtype);
    const session = await open(built.model);
    if (session) return [dtype, built, session];
  }
  throw new Error('The runtime has no kernel for this case in either precision.');
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((s, x, i) => s + x * b[i]!, 0);
const plus = (a: readonly number[], b: readonly number[], scale: number) => a.map((x, i) => x + scale * b[i]!);

interface GradientReport {
  readonly precision: Precision;
  /** Largest error found, relative to the gradient's norm. */
  readonly worst: number;
  /** One line for each thing that is wrong, with the seed that replays it. */
  readonly wrong: readonly string[];
}

/**
 * Checks, on random data: that every shape and dtype our rules infer is what the runtime returns, in the graph and in its
 * gradient; that the imported graph computes what the written one does; and that each input's gradient along random
 * directions is the central difference of the written graph.
 */
export async function checkGradient(c: GradientCase, seed = 1): Promise<GradientReport> {
  const rng = new Rng(seed).fork(c.title);
  const wrong: string[] = [];
  const complain = (text: string) => wrong.push(`${c.title} (seed ${seed}): ${text}`);
  const dtypes: readonly Float[] = c.float32 ? ['float32'] : ['float64', 'float32'];
  const [forwardDtype, forward, forwardSession] = await openIn(dtypes, (dtype) => buildRunnable(c, dtype));
  const [gradientDtype, gradient, gradientSession] = await openIn(dtypes, (dtype) => buildGradient(c, dtype));
  try {
    const precision = forwardDtype === 'float64' && gradientDtype === 'float32' ? 'mixed' : forwardDtype;
    const { epsilon, tolerance } = BOUNDS[precision === 'float32' && c.linear ? 'linear' : precision];

    // Rounded to float32, so that both precisions see the same point.
    const point = new Map(
      Object.entries(c.inputs).map(([name, given]) => [
        name,
        drawOf(given)(rng.fork(name), numel(dimsOf(given))).map(Math.fround),
      ]),
    );
    const feed = (dtype: DType, changed?: string, values?: readonly number[]): Record<string, Tensor> =>
      Object.fromEntries(
        [...point].map(([name, at]) => [
          name,
          fromNumbers(dtype, dimsOf(c.inputs[name]!), name === changed ? values! : at),
        ]),
      );
    const weights = gradient.cotangents.map((v, i) => normal(rng.fork('cotangent', i), numel(v.dims)).map(Math.fround));

    const feeds = feed(gradientDtype);
    gradient.cotangents.forEach((v, i) => {
      feeds[v.name] = fromNumbers(v.dtype, v.dims, weights[i]!);
    });
    const results = await gradientSession.run(feeds);
    for (const v of gradient.made) {
      const got = results[v.name]!;
      if (got.dtype !== v.dtype || !dimsEqual(got.dims, v.dims)) {
        complain(`"${v.name}" is inferred as ${v.dtype}[${v.dims}], the runtime makes ${got.dtype}[${got.dims}]`);
      }
    }

    const differentiated = forward.outputs.filter((v) => isFloat(v.dtype));
    const run = async (changed?: string, values?: readonly number[]) => {
      const ys = await forwardSession.run(feed(forwardDtype, changed, values));
      return differentiated.map((v) => toNumbers(ys[v.name]!));
    };
    const loss = async (changed: string, values: readonly number[]) =>
      (await run(changed, values)).reduce((sum, y, i) => sum + dot(y, weights[i]!), 0);

    const written = await run();
    gradient.outputs
      .filter((v) => isFloat(v.dtype))
      .forEach((v, i) => {
        const imported = toNumbers(results[v.name] ?? feeds[v.name]!);
        const size = Math.hypot(...written[i]!);
        const error = Math.hypot(...plus(imported, written[i]!, -1));
        if (!(error <= 1e-5 * size)) complain(`output ${i} changes on import: error ${error} at norm ${size}`);
      });

    let worst = 0;
    for (const [name, at] of point) {
      const value = gradient.grads.get(name);
      if (!value) {
        complain(`no gradient reaches "${name}"`);
        continue;
      }
      const g = toNumbers(results[value.name] ?? feeds[value.name]!);
      const size = Math.hypot(...g);
      // A gradient of zero would pass by comparing nothing with nothing.
      if (!(Number.isFinite(size) && (size > 0 || c.mayVanish))) complain(`the gradient of "${name}" has norm ${size}`);
      for (let k = 0; k < DIRECTIONS; k++) {
        const direction = normal(rng.fork(name, 'direction', k), at.length);
        const up = await loss(name, plus(at, direction, epsilon));
        const down = await loss(name, plus(at, direction, -epsilon));
        const difference = (up - down) / (2 * epsilon);
        const derivative = dot(g, direction);
        const error = Math.abs(difference - derivative) / Math.max(size, Math.abs(difference), 1e-300);
        worst = Math.max(worst, error);
        if (!(error <= tolerance)) {
          complain(`"${name}" along direction ${k}: rule ${derivative}, difference ${difference} (${precision})`);
        }
      }
    }
    return { precision, worst, wrong };
  } finally {
    await forwardSession.release();
    await gradientSession.release();
  }
}

/** How many of the cases run each operator's gradient rule or decomposition. Graphs are built, nothing is run. */
export function exercisedBy(cases: readonly GradientCase[]): Map<OpDefinition, number> {
  const counts = new Map<OpDefinition, number>();
  let used = new Set<OpDefinition>();
  const restore: (() => void)[] = [];
  for (const definition of operators.values()) {
    const watched = definition as { -readonly [K in keyof OpDefinition]: OpDefinition[K] };
    const { grad, decompose } = definition;
    if (typeof grad === 'function') {
      watched.grad = (c) => {
        used.add(definition);
        return grad(c);
      };
      restore.push(() => {
        watched.grad = grad;
      });
    }
    if (decompose) {
      watched.decompose = (c) => {
        used.add(definition);
        return decompose(c);
      };
      restore.push(() => {
        watched.decompose = decompose;
      });
    }
  }
  try {
    for (const c of cases) {
      used = new Set();
      buildGradient(c, 'float32');
      for (const definition of used) counts.set(definition, (counts.get(definition) ?? 0) + 1);
    }
  } finally {
    for (const f of restore) f();
  }
  return counts;
}
