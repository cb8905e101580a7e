import { describe, expect, test } from 'vitest';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import { importGraph, trainableInitializers } from '#models/autodiff/import-graph.ts';
import { int, type Model, tensorAttribute } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { f32, fromNumbers, i64, toNumbers } from '#models/tensor/tensor.ts';
import { buildModel, type NodeText } from '#test/support/build-model.ts';

const ramp = (n: number) => Array.from({ length: n }, (_, i) => i - n / 3);

/** How exporters flatten all but the batch: read the shape, pick and multiply sizes, and put them together again. */
const flattenNodes: readonly NodeText[] = [
  { op: 'Shape', in: ['x'], out: ['shape'] },
  { op: 'Gather', in: ['shape', 'zero'], out: ['batch'], attributes: { axis: int(0) } },
  { op: 'Slice', in: ['shape', 'from', 'to'], out: ['rest'] },
  { op: 'ReduceProd', in: ['rest'], out: ['features'], attributes: { keepdims: int(1) } },
  { op: 'Unsqueeze', in: ['batch', 'axes'], out: ['batch1'] },
  { op: 'Concat', in: ['batch1', 'features'], out: ['target'], attributes: { axis: int(0) } },
  { op: 'Reshape', in: ['x', 'target'], out: ['y'] },
];
const flatten = buildModel({
  opset: 18,
  inputs: { x: ['batch', 3, 'height', 'width'] },
  weights: { zero: i64([], [0]), from: i64([1], [1]), to: i64([1], [2 ** 31]), axes: i64([1], [0]) },
  nodes: flattenNodes,
  outputs: { y: 'float32' },
});

describe('importing a graph', () => {
  test('sizes that a model works out from its input become constants', () => {
    const op = createBuilder();
    const { outputs } = importGraph(op, flatten, { inputs: { x: [2, 3, 4, 5] } });
    expect(outputs.get('y')!.dims).toEqual([2, 60]);
    expect(op.nodes.map((n) => n.opType)).toEqual(['Reshape']);
  });

  test('a mask made of sizes and comparisons becomes a constant that the runtime agrees with', async () => {
    const model = buildModel({
      opset: 17,
      inputs: { x: ['rows', 'columns'] },
      weights: {
        zero: i64([], [0]),
        one: i64([], [1]),
        last: i64([1], [-1]),
        low: f32([], [-100]),
        high: f32([], [0]),
      },
      nodes: [
        { op: 'Shape', in: ['x'], out: ['shape'] },
        { op: 'Gather', in: ['shape', 'one'], out: ['n'] },
        { op: 'Range', in: ['zero', 'n', 'one'], out: ['columns'] },
        { op: 'Unsqueeze', in: ['columns', 'last'], out: ['rows'] },
        { op: 'LessOrEqual', in: ['columns', 'rows'], out: ['visible'] },
        { op: 'Where', in: ['visible', 'high', 'low'], out: ['mask'] },
        { op: 'Add', in: ['x', 'mask'], out: ['y'] },
      ],
      outputs: { y: 'float32' },
    });
    const op = createBuilder();
    const { outputs } = importGraph(op, model, { inputs: { x: [4, 4] } });
    for (const [name, v] of outputs) op.output(v, name);
    expect(op.toModel('imported').graph.nodes.map((n) => n.opType)).toEqual(['Add']);
    const feeds = { x: f32([4, 4], ramp(16)) };
    const run = async (bytes: Uint8Array) => {
      const session = await createSession(bytes, { threads: 1 });
      const { y } = await session.run(feeds);
      await session.release();
      return toNumbers(y!);
    };
    expect(await run(encodeModel(op.toModel('imported')))).toEqual(await run(encodeModel(model)));
  });

  test('an input of free size without a size is refused by name, with how to give one', () => {
    expect(() => importGraph(createBuilder(), flatten, { inputs: {} })).toThrow(
      expect.objectContaining({
        code: 'graph/no-size',
        message: 'Input "x" has free sizes [batch, 3, height, width].',
        hint: expect.stringContaining("inputs: { 'x': [...] }"),
      }),
    );
  });

  test('an unknown operator is refused by its name and place', () => {
    const unknown = (domain: string) =>
      buildModel({
        opset: 17,
        inputs: { x: [2] },
        nodes: [{ op: 'NoSuchOp', domain, in: ['x'], out: ['y'], name: '/mid/act' }],
        outputs: { y: 'float32' },
      });
    const importing = (domain: string) => () => importGraph(createBuilder(), unknown(domain), { inputs: {} });
    expect(importing('')).toThrow(
      expect.objectContaining({
        code: 'onnx/unknown-operator',
        message: 'Operator NoSuchOp at node "/mid/act" is not known.',
      }),
    );
    expect(importing('my.lab')).toThrow(/Operator my\.lab::NoSuchOp at node "\/mid\/act"/);
  });

  test('a BatchNormalization that trains is refused by name, with what to do', () => {
    const names = ['scale', 'shift', 'mean', 'variance'];
    const model = buildModel({
      opset: 15,
      inputs: { x: [2, 3, 4, 4] },
      weights: Object.fromEntries(names.map((name) => [name, f32([3], [1, 1, 1])])),
      nodes: [
        {
          op: 'BatchNormalization',
          in: ['x', ...names],
          out: ['y', 'new_mean', 'new_variance'],
          attributes: { training_mode: int(1) },
          name: 'norm',
        },
      ],
      outputs: { y: 'float32' },
    });
    expect(() => importGraph(createBuilder(), model, { inputs: {} })).toThrow(
      expect.objectContaining({ code: 'graph/training-mode', message: expect.stringContaining('"norm"') }),
    );
  });

  test('a shape that depends on data is refused with the node that needs it', () => {
    const model = buildModel({
      opset: 17,
      inputs: { x: [6], shape: { dtype: 'int64', dims: [2] } },
      nodes: [{ op: 'Reshape', in: ['x', 'shape'], out: ['y'], name: 'view' }],
      outputs: { y: 'float32' },
    });
    expect(() => importGraph(createBuilder(), model, { inputs: {} })).toThrow(
      expect.objectContaining({
        code: 'onnx/dynamic-shape',
        message: expect.stringMatching(/Reshape "view".*input 1, "shape"/),
      }),
    );
  });

  test('a value that nothing makes is refused', () => {
    const model = buildModel({
      opset: 17,
      inputs: { x: [6] },
      nodes: [{ op: 'Add', in: ['x', 'ghost'], out: ['y'], name: 'sum' }],
      outputs: { y: 'float32' },
    });
    expect(() => importGraph(createBuilder(), model, { inputs: {} })).toThrow(
      expect.objectContaining({ code: 'onnx/dangling', message: expect.stringContaining('"ghost"') }),
    );
  });

  test('a large constant expression is left to the runtime', () => {
    const model = buildModel({
      opset: 17,
      inputs: { x: [100, 100] },
      weights: { shape: i64([2], [100, 100]) },
      nodes: [
        { op: 'ConstantOfShape', in: ['shape'], out: ['zeros'], attributes: { value: tensorAttribute(f32([1], [2])) } },
        { op: 'Add', in: ['x', 'zeros'], out: ['y'] },
      ],
      outputs: { y: 'float32' },
    });
    const op = createBuilder();
    importGraph(op, model, { inputs: {} });
    expect(op.nodes.map((n) => n.opType)).toEqual(['ConstantOfShape', 'Add']);
    expect([...op.initializers.values()].every((t) => t.dims.reduce((p, d) => p * d, 1) < 100)).toBe(true);
  });

  const affine = buildModel({
    opset: 17,
    inputs: { x: [2, 3] },
    weights: { w: f32([3, 3], ramp(9)), b: f32([3], [1, 2, 3]), k: i64([1], [1]), s: f32([], [2]) },
    nodes: [
      { op: 'MatMul', in: ['x', 'w'], out: ['h'] },
      { op: 'Add', in: ['h', 'b'], out: ['y'] },
    ],
    outputs: { y: 'float32' },
  });

  test('several models fit into one graph under their own prefixes, the output of one feeding the next', async () => {
    const op = createBuilder();
    const first = importGraph(op, affine, { inputs: {}, prefix: 'a/' });
    const second = importGraph(op, affine, { inputs: { x: first.outputs.get('y')! }, prefix: 'b/' });
    op.output(second.outputs.get('y')!, 'y');
    expect(op.inputs.map((v) => v.name)).toEqual(['a/x']);
    const session = await createSession(encodeModel(op.toModel('both')), { threads: 1 });
    const single = await createSession(encodeModel(affine), { threads: 1 });
    const x = f32([2, 3], ramp(6));
    const { y: both } = await session.run({ 'a/x': x });
    const { y: once } = await single.run({ x });
    const { y: twice } = await single.run({ x: once! });
    expect(toNumbers(both!)).toEqual(toNumbers(twice!));
    await session.release();
    await single.release();
  });

  test('a weight can become an input of the graph, to be fed by the caller', () => {
    const op = createBuilder();
    importGraph(op, affine, { inputs: {}, role: (name) => (name === 'w' ? 'input' : 'frozen') });
    expect(op.inputs.map((v) => [v.name, v.dims])).toEqual([
      ['x', [2, 3]],
      ['w', [3, 3]],
    ]);
    expect(op.initializers.has('w')).toBe(false);
  });

  test('a node can be rewritten on the way in', () => {
    const op = createBuilder();
    const { outputs } = importGraph(op, affine, {
      inputs: {},
      rewrite: (b, node, [x, w]) => (node.opType === 'MatMul' ? [b.gemm(x!, w!)] : null),
    });
    expect(op.nodes.map((n) => n.opType)).toEqual(['Gemm', 'Add']);
    expect(outputs.get('y')!.dims).toEqual([2, 3]);
  });

  test('trainable are the floating weights with at least one axis', () => {
    expect(trainableInitializers(affine)).toEqual(['w', 'b']);
  });

  test('a weight whose gradient is wanted is not folded away', () => {
    const model = buildModel({
      opset: 17,
      inputs: { x: [2] },
      weights: { w: f32([2], [1, 2]) },
      nodes: [
        { op: 'Exp', in: ['w'], out: ['e'] },
        { op: 'Mul', in: ['x', 'e'], out: ['y'] },
      ],
      outputs: { y: 'float32' },
    });
    const types = (role: 'frozen' | 'opaque') => {
      const op = createBuilder();
      importGraph(op, model, { inputs: {}, role: () => role });
      return op.nodes.map((n) => n.opType);
    };
    expect(types('frozen')).toEqual(['Mul']);
    expect(types('opaque')).toEqual(['Exp', 'Mul']);
  });

  test('Dropout whose mask nobody reads disappears', () => {
    const model = buildModel({
      opset: 13,
      inputs: { x: [2, 2] },
      weights: { ratio: f32([], [0.5]) },
      nodes: [
        { op: 'Dropout', in: ['x', 'ratio'], out: ['d'] },
        { op: 'Neg', in: ['d'], out: ['y'] },
      ],
      outputs: { y: 'float32' },
    });
    const op = createBuilder();
    importGraph(op, model, { inputs: {} });
    expect(op.nodes.map((n) => n.opType)).toEqual(['Neg']);
  });

  test('Dropout that trains stays, and its gradient is the mask over what is left', async () => {
    const model = buildModel({
      opset: 13,
      inputs: { x: [64] },
      weights: { ratio: f32([], [0.75]), training: fromNumbers('bool', [], [1]) },
      nodes: [{ op: 'Dropout', in: ['x', 'ratio', 'training'], out: ['y'] }],
      outputs: { y: 'float32' },
    });
    const gradient = gradientModel(model, { inputDims: {}, wrt: ['x'] }).model;
    const ones = f32([64], new Array<number>(64).fill(1));
    const session = await createSession(encodeModel(gradient), { threads: 1 });
    const results = await session.run({ x: ones, 'cotangent/y': ones });
    await session.release();
    // Of ones, what is kept becomes 4 both on the way out and on the way back.
    expect(toNumbers(results['grad/x']!)).toEqual(toNumbers(results.y!));
    expect(new Set(toNumbers(results.y!))).toEqual(new Set([0, 4]));
  });

  test('weights that exporters share through Identity are one weight', async () => {
    const model = buildModel({
      opset: 17,
      inputs: { x: [2, 2] },
      weights: { w: f32([2, 2], [1, 2, 3, 4]) },
      nodes: [
        { op: 'Identity', in: ['w'], out: ['onnx::Identity_7'] },
        { op: 'Identity', in: ['onnx::Identity_7'], out: ['tied'] },
        { op: 'MatMul', in: ['x', 'w'], out: ['h'] },
        { op: 'MatMul', in: ['h', 'tied'], out: ['y'] },
      ],
      outputs: { y: 'float32' },
    });
    const { model: gradient, gradients } = gradientModel(model, { inputDims: {}, wrt: 'all' });
    expect([...gradients]).toEqual([
      ['w', 'grad/w'],
      ['x', 'grad/x'],
    ]);
    // y = x·w·w, so dw = xᵀ·dy·wᵀ + (x·w)ᵀ·dy; with x = 1 and dy all ones that is below.
    const session = await createSession(encodeModel(gradient), { threads: 1 });
    const results = await session.run({ x: f32([2, 2], [1, 0, 0, 1]), 'cotangent/y': f32([2, 2], [1, 1, 1, 1]) });
    await session.release();
    expect(toNumbers(results['grad/w']!)).toEqual([7, 11, 9, 13]);
    expect([...gradient.graph.initializers.keys()].filter((n) => n.includes('tied') || n.includes('Identity'))).toEqual(
      [],
    );
  });

  describe('tensors that are one number everywhere', () => {
    // How PyTorch 1 exports baddbmm: beta · empty + q·k, with the empty one as large as all scores.
    const scores = (beta: number) =>
      buildModel({
        opset: 14,
        inputs: { q: [2, 100, 4], k: [2, 4, 100] },
        weights: { size: i64([3], [2, 100, 100]), beta: f32([], [beta]) },
        nodes: [
          {
            op: 'ConstantOfShape',
            in: ['size'],
            out: ['empty'],
            attributes: { value: tensorAttribute(f32([1], [1])) },
          },
          { op: 'Mul', in: ['empty', 'beta'], out: ['scaled'] },
          { op: 'MatMul', in: ['q', 'k'], out: ['product'] },
          { op: 'Add', in: ['scaled', 'product'], out: ['y'] },
        ],
        outputs: { y: 'float32' },
      });
    const imported = (model: Model) => {
      const op = createBuilder();
      for (const [name, v] of importGraph(op, model, { inputs: {} }).outputs) op.output(v, name);
      return op.toModel('imported');
    };
    const largest = (model: Model) =>
      Math.max(0, ...[...model.graph.initializers.values()].map((t) => t.dims.reduce((p, d) => p * d, 1)));

    test('0 · ConstantOfShape added to attention scores is gone', () => {
      const model = imported(scores(0));
      expect(model.graph.nodes.filter((n) => n.opType !== 'Identity').map((n) => n.opType)).toEqual(['MatMul']);
    });

    test('another number becomes a scalar, and the runtime agrees', async () => {
      const model = imported(scores(-1.5));
      expect(model.graph.nodes.map((n) => n.opType)).toEqual(['MatMul', 'Add']);
      expect(largest(model)).toBe(1);
      const feeds = { q: f32([2, 100, 4], ramp(800)), k: f32([2, 4, 100], ramp(800)) };
      const run = async (m: Model) => {
        const session = await createSession(encodeModel(m), { threads: 1 });
        const { y } = await session.run(feeds);
        await session.release();
        return toNumbers(y!);
      };
      expect(await run(model)).toEqual(await run(scores(-1.5)));
    });

    test('one that decides the shape of the result stays', () => {
      const model = buildModel({
        opset: 17,
        inputs: { x: [100, 1] },
        weights: { size: i64([2], [1, 100]) },
        nodes: [
          { op: 'Expand', in: ['x', 'size'], out: ['wide'] },
          { op: 'Shape', in: ['wide'], out: ['shape'] },
          { op: 'ConstantOfShape', in: ['shape'], out: ['zeros'] },
          { op: 'Add', in: ['x', 'zeros'], out: ['y'] },
        ],
        outputs: { y: 'float32' },
      });
      const op = createBuilder();
      expect(importGraph(op, model, { inputs: {} }).outputs.get('y')!.dims).toEqual([100, 100]);
    });
  });
});

describe('the gradient of a gradient', () => {
  // y = x³ as x·x·x: y' = 3x², y'' = 6x.
  const cube = buildModel({
    opset: 17,
    inputs: { x: [2] },
    nodes: [
      { op: 'Mul', in: ['x', 'x'], out: ['s'] },
      { op: 'Mul', in: ['s', 'x'], out: ['y'] },
    ],
    outputs: { y: 'float32' },
  });

  test('takes names that the first one leaves free, and is right, three times over', async () => {
    const first = gradientModel(cube, { inputDims: {}, wrt: ['x'] });
    const second = gradientModel(first.model, { inputDims: {}, wrt: ['x'], outputs: ['grad/x'] });
    const third = gradientModel(second.model, { inputDims: {}, wrt: ['x'], outputs: ['grad2/x'] });
    expect([...first.cotangents, ...second.gradients]).toEqual([
      ['y', 'cotangent/y'],
      ['x', 'grad2/x'],
    ]);
    expect([...third.cotangents, ...third.gradients]).toEqual([
      ['grad2/x', 'cotangent3/grad2/x'],
      ['x', 'grad3/x'],
    ]);
    const session = await createSession(encodeModel(third.model), { threads: 1 });
    const one = f32([2], [1, 1]);
    const x = f32([2], [0.5, -2]);
    const feeds = Object.fromEntries(third.model.graph.inputs.map((i) => [i.name, i.name === 'x' ? x : one]));
    const results = await session.run(feeds);
    await session.release();
    expect(toNumbers(results['grad/x']!)).toEqual([0.75, 12]);
    expect(toNumbers(results['grad2/x']!)).toEqual([3, -12]);
    expect(toNumbers(results['grad3/x']!)).toEqual([6, 6]);
  });

  test('every input, cotangents included, can be differentiated again', () => {
    const first = gradientModel(cube, { inputDims: {}, wrt: 'all' });
    const second = gradientModel(first.model, { inputDims: {}, wrt: 'all' });
    expect([...second.gradients.values()].sort()).toEqual(['grad2/cotangent/y', 'grad2/x']);
    expect([...second.cotangents.values()].sort()).toEqual(['cotangent2/grad/x', 'cotangent2/y']);
  });
});
