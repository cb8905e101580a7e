import { describe, expect, test } from 'vitest';
import { gradientReach, pathToOutput } from '#models/autodiff/flow.ts';
import { chooseSizes, inspectGraph } from '#models/autodiff/inspect.ts';
import type { Attribute, Dim, Graph, Model, Node } from '#models/onnx/ir.ts';
import { int, ints } from '#models/onnx/ir.ts';
import { type DType, f32, i64, type Tensor } from '#models/tensor/tensor.ts';

const node = (
  opType: string,
  inputs: string[],
  outputs: string[],
  attributes: Record<string, Attribute> = {},
  domain = '',
): Node => ({
  opType,
  domain,
  name: `n_${outputs[0]}`,
  inputs,
  outputs,
  attributes: new Map(Object.entries(attributes)),
});
const port = (name: string, dims: readonly Dim[], dtype: DType = 'float32') => ({ name, dims, dtype });

function model(parts: Partial<Graph> & Pick<Graph, 'nodes' | 'inputs' | 'outputs'>): Model {
  return {
    irVersion: 8,
    producerName: 'test',
    opsets: new Map([
      ['', 17],
      ['com.microsoft', 1],
      ['my.domain', 1],
    ]),
    metadata: new Map(),
    graph: { name: 'g', initializers: new Map(), valueInfo: new Map(), ...parts },
  };
}

/** early → X → late → y: what lies before X has no gradient unless X lets it through. */
function chain(middle: Node): Model {
  return model({
    nodes: [
      node('MatMul', ['x', 'early'], ['a']),
      middle,
      node('MatMul', ['b', 'late'], ['c']),
      node('Sigmoid', ['c'], ['y']),
    ],
    inputs: [port('x', [2, 3])],
    outputs: [port('y', [2, 3])],
    initializers: new Map<string, Tensor>([
      ['early', f32([3, 3], new Float32Array(9).fill(1))],
      ['late', f32([3, 3], new Float32Array(9).fill(1))],
      ['idle', f32([2], [1, 2])],
    ]),
  });
}
const states = (m: Model) => Object.fromEntries(inspectGraph(m).weights.map((w) => [w.name, w.state]));

describe('what can be differentiated', () => {
  test('a known chain: every weight and input reaches the output, an idle weight nothing', () => {
    const found = inspectGraph(chain(node('Tanh', ['a'], ['b'])));
    expect(found.weights.map((w) => [w.name, w.state, w.outputs])).toEqual([
      ['early', 'yes', ['y']],
      ['late', 'yes', ['y']],
      ['idle', 'unused', []],
    ]);
    expect(found.inputs).toMatchObject([{ name: 'x', state: 'yes', outputs: ['y'] }]);
    expect([found.blockers, found.failure]).toEqual([[], null]);
    // Two products of [2, 3] by [3, 3].
    expect(found.forward).toEqual({ nodes: 4, flops: 2 * (2 * 2 * 3 * 3) });
  });

  test('an unknown operator blocks what lies before it, with its path to the output and what to do', () => {
    const found = inspectGraph(chain(node('Frobnicate', ['a'], ['b'])));
    expect(found.weights.map((w) => [w.name, w.state])).toEqual([
      ['early', 'refused'],
      ['late', 'yes'],
      ['idle', 'unused'],
    ]);
    expect(found.blockers).toEqual([
      {
        operator: 'Frobnicate',
        node: 'n_b',
        path: ['MatMul "n_c"', 'Sigmoid "n_y"'],
        output: 'y',
        weights: 1,
        inputs: ['x'],
        message: 'Frobnicate at node "n_b" is not known.',
        hint: expect.stringContaining('Train only what comes after it'),
      },
    ]);
    expect(found.weights[0]!.at).toEqual(['Frobnicate "n_b"']);
  });

  test('an operator of somebody else’s domain is blamed on that domain', () => {
    const [blocker] = inspectGraph(chain(node('Frobnicate', ['a'], ['b'], {}, 'my.domain'))).blockers;
    expect(blocker).toMatchObject({
      operator: 'my.domain::Frobnicate',
      hint: expect.stringContaining('without the operators of "my.domain"'),
    });
  });

  test('a com.microsoft operator that can be written in standard ones is let through; one that cannot is refused with what to do', () => {
    expect(states(chain(node('FastGelu', ['a'], ['b'], {}, 'com.microsoft')))).toMatchObject({ early: 'yes' });
    const [blocker] = inspectGraph(chain(node('QLinearSigmoid', ['a'], ['b'], {}, 'com.microsoft'))).blockers;
    expect(blocker).toMatchObject({
      operator: 'com.microsoft::QLinearSigmoid',
      hint: expect.stringContaining('without quantised activations'),
    });
  });

  test('where only whole numbers go on, the gradient ends, at a node that is named', () => {
    const found = inspectGraph(
      model({
        nodes: [
          node('MatMul', ['x', 'w'], ['a']),
          node('ArgMax', ['a'], ['k'], { axis: int(1), keepdims: int(0) }),
          node('Cast', ['k'], ['y'], { to: int(1) }),
        ],
        inputs: [port('x', [2, 3])],
        outputs: [port('y', [2])],
        initializers: new Map([['w', f32([3, 3], new Float32Array(9))]]),
      }),
    );
    expect(found.weights).toMatchObject([{ state: 'ends', at: ['ArgMax "n_k"'], outputs: [] }]);
    expect(found.inputs).toMatchObject([{ state: 'ends' }]);
    expect(found.blockers).toEqual([]);
  });

  test('an output that is a whole number itself gives no gradient', () => {
    const found = inspectGraph(
      model({
        nodes: [node('MatMul', ['x', 'w'], ['a']), node('ArgMax', ['a'], ['k'], { axis: int(1), keepdims: int(0) })],
        inputs: [port('x', [2, 3])],
        outputs: [port('k', [2], 'int64')],
        initializers: new Map([['w', f32([3, 3], new Float32Array(9))]]),
      }),
    );
    expect(found.weights).toMatchObject([{ state: 'ends', at: [] }]);
  });

  test('a loop whose number of turns depends on data is refused by name', () => {
    const body: Graph = {
      name: 'body',
      nodes: [node('Identity', ['going'], ['go_on']), node('Tanh', ['state'], ['next'])],
      inputs: [port('i', [], 'int64'), port('going', [], 'bool'), port('state', [2, 3])],
      outputs: [port('go_on', [], 'bool'), port('next', [2, 3])],
      initializers: new Map(),
      valueInfo: new Map(),
    };
    const loop: Node = {
      ...node('Loop', ['turns', '', 'a'], ['b'], { body: { kind: 'graph', value: body } }),
    };
    const base = chain(loop);
    const free: Model = {
      ...base,
      graph: { ...base.graph, inputs: [...base.graph.inputs, port('turns', [], 'int64')] },
    };
    const found = inspectGraph(free);
    expect(found.forward).toBeNull();
    expect(found.failure).toMatchObject({ message: expect.stringContaining('n_b') });
    // With a known number it is written out.
    const known: Model = {
      ...base,
      graph: { ...base.graph, initializers: new Map([...base.graph.initializers, ['turns', i64([], [3])]]) },
    };
    const unrolled = inspectGraph(known);
    expect(unrolled.failure).toBeNull();
    expect(unrolled.weights.find((w) => w.name === 'early')?.state).toBe('yes');
  });

  test('scales that a Resize must know are no weights', () => {
    const found = inspectGraph(
      model({
        nodes: [node('Resize', ['x', '', 'scales'], ['y'], { mode: { kind: 'string', value: 'nearest' } })],
        inputs: [port('x', [1, 1, 2, 2])],
        outputs: [port('y', [1, 1, 4, 4])],
        initializers: new Map([['scales', f32([4], [1, 1, 2, 2])]]),
      }),
    );
    expect(found.weights).toEqual([]);
    expect(found.failure).toBeNull();
    expect(found.inputs).toMatchObject([{ state: 'yes' }]);
  });
});

describe('sizes', () => {
  const free = (name: string, dims: Dim[], reader: Node, weight: Tensor) =>
    model({
      nodes: [reader],
      inputs: [port(name, dims)],
      outputs: [port('y', dims)],
      initializers: new Map([['w', weight]]),
    });

  test('are taken from what is given, then from the file, then from what the first layer wants', () => {
    const conv = node('Conv', ['x', 'w'], ['y'], { kernel_shape: ints([3, 3]), group: int(2) });
    const m = free('x', ['batch', 'channels', 'height', 'width'], conv, f32([8, 3, 3, 3], new Float32Array(216)));
    expect(chooseSizes(m, {})).toEqual([{ input: 'x', dims: [1, 6, 64, 64], from: 'guess' }]);
    expect(chooseSizes(m, { x: [2, 6, 8, 8] })).toEqual([{ input: 'x', dims: [2, 6, 8, 8], from: 'given' }]);
    const product = free(
      'x',
      [null, 'seq', null],
      node('MatMul', ['x', 'w'], ['y']),
      f32([5, 2], new Float32Array(10)),
    );
    expect(chooseSizes(product, {})[0]!.dims).toEqual([1, 77, 5]);
  });

  test('that were guessed wrongly are admitted to be guesses', () => {
    const m = model({
      nodes: [node('Add', ['a', 'b'], ['y'])],
      inputs: [port('a', [2, 'length']), port('b', [2, 5])],
      outputs: [port('y', [2, 'length'])],
    });
    const found = inspectGraph(m);
    expect(found.forward).toBeNull();
    expect(found.failure?.hint).toMatch(/Sizes were guessed \(a=2x\d+\)/);
    // The file's own nodes still say what can be differentiated.
    expect(found.inputs.map((i) => i.state)).toEqual(['yes', 'yes']);
    expect(inspectGraph(m, { a: [2, 5] }).failure).toBeNull();
  });
});

test('the way to an output is the shortest one', () => {
  const flow = (opType: string, inputs: string[], outputs: string[]) =>
    ({ opType, domain: '', name: opType, inputs, outputs, flow: 'through' }) as const;
  const nodes = [
    flow('A', ['x'], ['a']),
    flow('B', ['a'], ['b']),
    flow('C', ['b'], ['c']),
    flow('D', ['a', 'c'], ['y']),
  ];
  expect(pathToOutput(nodes, nodes[0]!, new Set(['y']))).toEqual({ nodes: [nodes[3]], output: 'y' });
  expect(pathToOutput(nodes, nodes[3]!, new Set(['z']))).toBeNull();
});

test('gradients are followed per output', () => {
  const flow = (inputs: string[], outputs: string[], kind: 'through' | 'ends' | 'refused' = 'through') =>
    ({ opType: kind, domain: '', name: outputs[0]!, inputs, outputs, flow: kind }) as const;
  const stop = flow(['a'], ['s'], 'refused');
  const end = flow(['a'], ['e'], 'ends');
  const reach = gradientReach(
    [flow(['w'], ['a']), stop, end, flow(['a', 'e'], ['y0']), flow(['s'], ['y1'])],
    [
      { name: 'y0', differentiable: true },
      { name: 'y1', differentiable: true },
    ],
  );
  expect(reach('w')).toEqual({ outputs: [0, 1], refused: [stop], ends: [end], used: true });
  expect(reach('nothing')).toEqual({ outputs: [], refused: [], ends: [], used: false });
});
