import { describe, expect, test } from 'vitest';
import { importGraph, trainableInitializers } from '#models/autodiff/import-graph.ts';
import { int, tensorAttribute } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { f32, i64, toNumbers } from '#models/tensor/tensor.ts';
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
});
