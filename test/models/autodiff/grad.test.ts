import { describe, expect, test } from 'vitest';
import { addGradients } from '#models/autodiff/grad.ts';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { checkModel } from '#models/onnx/check.ts';
import { int, ints, type Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, f64, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { buildModel } from '#test/support/build-model.ts';

const rng = new Rng(11);
const draw = (label: string, dims: readonly number[]): Tensor =>
  f64(
    dims,
    Array.from({ length: numel(dims) }, (_, i) => rng.fork(label, i).normal()),
  );

async function run(model: Model, feeds: Record<string, Tensor>): Promise<Record<string, number[]>> {
  checkModel(model);
  const session = await createSession(encodeModel(model), { threads: 1 });
  const results = await session.run(feeds);
  await session.release();
  return Object.fromEntries(Object.entries(results).map(([name, t]) => [name, toNumbers(t)]));
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((s, x, i) => s + x * b[i]!, 0);
const moved = (t: Tensor, direction: Tensor, step: number): Tensor =>
  f64(
    t.dims,
    toNumbers(t).map((x, i) => x + step * toNumbers(direction)[i]!),
  );

/** The mean square error of a network with one hidden layer, in float64. */
function perceptron(op: GraphBuilder): { loss: Value; w1: Value; w2: Value; x: Value } {
  const x = op.input('x', 'float64', [5, 3]);
  const target = op.input('target', 'float64', [5, 2]);
  const w1 = op.input('w1', 'float64', [3, 4]);
  const w2 = op.input('w2', 'float64', [4, 2]);
  const error = op.sub(op.matmul(op.tanh(op.matmul(x, w1)), w2), target);
  return { loss: op.reduceMeanAll(op.mul(error, error)), w1, w2, x };
}

const point = {
  x: draw('x', [5, 3]),
  target: draw('target', [5, 2]),
  w1: draw('w1', [3, 4]),
  w2: draw('w2', [4, 2]),
};

describe('reverse-mode differentiation', () => {
  test('the gradient of a gradient is a Hessian–vector product', async () => {
    const op = createBuilder();
    const { loss, w1, w2 } = perceptron(op);
    const first = addGradients(op, [{ value: loss, cotangent: op.scalar(1, 'float64') }], [w1, w2]);
    const [g1, g2] = [first.get('w1')!, first.get('w2')!];
    const v1 = op.input('v1', 'float64', g1.dims);
    const v2 = op.input('v2', 'float64', g2.dims);
    // ∂/∂w ⟨g, v⟩ = H·v, with v as the cotangent of g.
    const second = addGradients(
      op,
      [
        { value: g1, cotangent: v1 },
        { value: g2, cotangent: v2 },
      ],
      [w1, w2],
    );
    op.output(g1, 'g1');
    op.output(g2, 'g2');
    op.output(second.get('w1')!, 'h1');
    op.output(second.get('w2')!, 'h2');
    const model = op.toModel('hessian');
    const v = { v1: draw('v1', [3, 4]), v2: draw('v2', [4, 2]) };

    const { h1, h2 } = await run(model, { ...point, ...v });
    const step = 1e-6;
    const at = (s: number) =>
      run(model, { ...point, ...v, w1: moved(point.w1, v.v1, s), w2: moved(point.w2, v.v2, s) });
    const [up, down] = [await at(step), await at(-step)];
    for (const [h, g] of [
      [h1!, 'g1'],
      [h2!, 'g2'],
    ] as const) {
      const difference = up[g]!.map((u, i) => (u - down[g]![i]!) / (2 * step));
      const error = Math.hypot(...h.map((x, i) => x - difference[i]!));
      expect(error / Math.hypot(...h)).toBeLessThan(1e-6);
    }
    // A Hessian is symmetric: u·Hv = v·Hu.
    const u = { v1: draw('u1', [3, 4]), v2: draw('u2', [4, 2]) };
    const { h1: hu1, h2: hu2 } = await run(model, { ...point, ...u });
    const along = (d: typeof v, a: readonly number[], b: readonly number[]) =>
      dot(toNumbers(d.v1), a) + dot(toNumbers(d.v2), b);
    expect(along(u, h1!, h2!)).toBeCloseTo(along(v, hu1!, hu2!), 10);
  });

  test('a value that feeds many nodes collects the gradients of all', async () => {
    const op = createBuilder();
    const x = op.input('x', 'float64', [2]);
    const uses = Array.from({ length: 5 }, (_, i) => op.mulScalar(x, i + 1));
    const y = uses.reduce((a, b) => op.add2(a, b));
    const grads = addGradients(op, [{ value: y, cotangent: op.constant(f64([2], [1, 10])) }], [x]);
    op.output(grads.get('x')!, 'g');
    const { g } = await run(op.toModel('fan'), { x: f64([2], [3, 4]) });
    expect(g).toEqual([15, 150]);
  });

  test('several seeds add up', async () => {
    const op = createBuilder();
    const x = op.input('x', 'float64', [2]);
    const square = op.mul(x, x);
    const cube = op.mul(square, x);
    const seed = (value: Value, w: number) => ({ value, cotangent: op.constant(f64([2], [w, w])) });
    const grads = addGradients(op, [seed(square, 1), seed(cube, 10)], [x]);
    op.output(grads.get('x')!, 'g');
    // 2x + 10·3x² at 1 and 2.
    const { g } = await run(op.toModel('seeds'), { x: f64([2], [1, 2]) });
    expect(g).toEqual([32, 124]);
  });

  test('what has no path to a seed has the gradient null, and a gradient model says so', () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [2]);
    const w = op.initializer('w', f32([2], [1, 2]));
    op.output(op.exp(x), 'y');
    op.output(op.apply('Floor', [op.mul(x, w)]), 'z');
    const grads = gradientModel(op.toModel('path'), { inputDims: {}, wrt: ['x', 'w'] });
    expect(grads.noPath).toEqual(['w']);
    expect(grads.model.graph.outputs.map((o) => o.name)).toEqual(['y', 'z', 'grad/x']);
    const all = gradientModel(op.toModel('path'), { inputDims: {}, wrt: 'all' });
    expect([all.wrt, all.noPath]).toEqual([['x'], []]);
  });

  test('the gradient of a value with respect to itself is its cotangent', () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [2]);
    const cotangent = op.input('dx', 'float32', [2]);
    expect(addGradients(op, [{ value: x, cotangent }], [x]).get('x')).toBe(cotangent);
  });

  test('only nodes on a path between the weights and the loss are visited, so an operator without a rule may stand beside it', () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [2, 3]);
    const w = op.input('w', 'float32', [3]);
    // QuantizeLinear has no rule; it acts on the input only.
    const rounded = op.apply('QuantizeLinear', [x, op.scalar(0.1)]);
    const scale = op.reduceSumAll(op.apply('DequantizeLinear', [rounded, op.scalar(0.1)]));
    const loss = op.reduceSumAll(op.mul(w, scale));
    const seed = { value: loss, cotangent: op.scalar(1) };
    expect(addGradients(op, [seed], [w]).get('w')!.dims).toEqual([3]);
    expect(() => addGradients(op, [seed], [x])).toThrow(expect.objectContaining({ code: 'grad/no-rule' }));
  });

  test('an operator without a rule is refused by node and path before any session exists', () => {
    const model = buildModel({
      opset: 18,
      inputs: { x: [2, 3] },
      weights: { w: f32([2, 3], [1, 2, 3, 4, 5, 6]), scale: f32([], [0.1]) },
      nodes: [
        { op: 'Mul', in: ['x', 'w'], out: ['h'], name: '/in/mul' },
        { op: 'QuantizeLinear', in: ['h', 'scale'], out: ['q'], name: '/mid/quantize' },
        { op: 'DequantizeLinear', in: ['q', 'scale'], out: ['p'], name: '/mid/back' },
        { op: 'Exp', in: ['p'], out: ['e'], name: '/mid/exp' },
        { op: 'Neg', in: ['e'], out: ['y'], name: '/out/neg' },
      ],
      outputs: { y: 'float32' },
    });
    expect(() => gradientModel(model, { inputDims: {}, wrt: ['w'] })).toThrow(
      expect.objectContaining({
        code: 'grad/no-rule',
        message:
          'No gradient for QuantizeLinear at node "/mid/quantize", on the path DequantizeLinear "/mid/back" → Exp "/mid/exp" → Neg "/out/neg" → output.',
        hint: expect.stringContaining('models/ops/'),
      }),
    );
  });

  test('a gradient that a rule cannot give is refused by node', () => {
    const model = buildModel({
      opset: 18,
      inputs: { x: [1, 1, 4, 4] },
      nodes: [
        {
          op: 'MaxPool',
          in: ['x'],
          out: ['y'],
          name: '/pool',
          attributes: { kernel_shape: ints([2, 2]), storage_order: int(1) },
        },
      ],
      outputs: { y: 'float32' },
    });
    expect(() => gradientModel(model, { inputDims: {}, wrt: ['x'] })).toThrow(
      expect.objectContaining({ code: 'grad/unsupported', message: expect.stringContaining('"/pool"') }),
    );
  });

  test('a name that the model does not have is refused', () => {
    const op = createBuilder();
    op.output(op.exp(op.input('x', 'float32', [2])), 'y');
    const model = op.toModel('names');
    const asking = (options: { wrt: string[]; outputs?: string[] }) => () =>
      gradientModel(model, { inputDims: {}, ...options });
    expect(asking({ wrt: ['nothing'] })).toThrow(/no initialiser or input named "nothing"/);
    expect(asking({ wrt: ['x'], outputs: ['z'] })).toThrow(/no output named "z"/);
  });

  test('integers carry no gradient, whatever they index', () => {
    const op = createBuilder();
    const table = op.input('table', 'float32', [4, 2]);
    const ids = op.input('ids', 'int64', [3]);
    op.output(op.gather(table, ids, 0), 'y');
    const { wrt, noPath } = gradientModel(op.toModel('table'), { inputDims: {}, wrt: 'all' });
    expect([wrt, noPath]).toEqual([['table'], []]);
  });

  test('a float16 weight cast up for the sum gets a float16 gradient', () => {
    const op = createBuilder();
    const w = op.input('w', 'float16', [3]);
    const x = op.input('x', 'float32', [2, 3]);
    const loss = op.reduceSumAll(op.mul(x, op.cast(w, 'float32')));
    const g = addGradients(op, [{ value: loss, cotangent: op.scalar(1) }], [w]).get('w')!;
    expect([g.dtype, g.dims]).toEqual(['float16', [3]]);
  });
});
