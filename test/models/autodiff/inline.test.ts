import { describe, expect, test } from 'vitest';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import {
  type Attribute,
  float,
  functionKey,
  type Graph,
  int,
  type LocalFunction,
  type Model,
  type Node,
} from '#models/onnx/ir.ts';
import { parseModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { type DType, f32, fromNumbers, i64, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { buildModel, type NodeText } from '#test/support/build-model.ts';

type Port = readonly [name: string, dtype: DType, dims: readonly number[] | null];

/** A branch or loop body, as an attribute. */
function body(
  inputs: readonly Port[],
  nodes: readonly NodeText[],
  outputs: readonly Port[],
  weights: Record<string, Tensor> = {},
): Attribute {
  const info = ([name, dtype, dims]: Port) => ({ name, dtype, dims });
  const made = buildModel({ opset: 17, inputs: {}, nodes, outputs: {}, weights }).graph;
  const value: Graph = { ...made, inputs: inputs.map(info), outputs: outputs.map(info) };
  return { kind: 'graph', value };
}

const node = (text: NodeText): Node =>
  buildModel({ opset: 17, inputs: {}, nodes: [{ name: `${text.op}/${text.out[0]}`, ...text }], outputs: {} }).graph
    .nodes[0]!;

const yes = fromNumbers('bool', [], [1]);
const random = (dims: readonly number[], name: string) => {
  const rng = new Rng(7).fork(name);
  return f32(
    dims,
    Array.from({ length: dims.reduce((p, d) => p * d, 1) }, () => rng.normal()),
  );
};

function imported(model: Model): Model {
  const op = createBuilder();
  for (const [name, v] of importGraph(op, model, { inputs: {} }).outputs) op.output(v, name);
  return op.toModel('imported');
}

async function run(model: Model, feeds: Record<string, Tensor>): Promise<Record<string, number[]>> {
  const session = await createSession(encodeModel(model), { threads: 1 });
  const results = await session.run(feeds);
  await session.release();
  return Object.fromEntries(Object.entries(results).map(([name, t]) => [`${name} [${t.dims}]`, toNumbers(t)]));
}

/** Runs the model as written and as imported; the imported one has none of the operators that were written out. */
async function expectSame(model: Model, feeds: Record<string, Tensor>): Promise<Model> {
  const flat = imported(parseModel(encodeModel(model), 'written'));
  const left = flat.graph.nodes.filter((n) => /^(If|Loop|Scan|Seq|.*Sequence$)/.test(n.opType) || n.domain !== '');
  expect(left.map((n) => n.opType)).toEqual([]);
  expect(await run(flat, feeds)).toEqual(await run(model, feeds));
  return flat;
}

const importing = (model: Model) => () => importGraph(createBuilder(), model, { inputs: {} });
const refused = (code: string, message: RegExp) =>
  expect.objectContaining({ name: 'NorthlightError', code, message: expect.stringMatching(message) });

describe('If', () => {
  /** Doubles x when its second size is above 3, negates it otherwise; both branches read x from outside. */
  const bySize = (columns: number) =>
    buildModel({
      opset: 17,
      inputs: { x: [2, columns] },
      weights: { one: i64([], [1]), three: i64([], [3]) },
      nodes: [
        { op: 'Shape', in: ['x'], out: ['shape'] },
        { op: 'Gather', in: ['shape', 'one'], out: ['n'] },
        { op: 'Greater', in: ['n', 'three'], out: ['wide'] },
        {
          op: 'If',
          in: ['wide'],
          out: ['y'],
          attributes: {
            then_branch: body([], [{ op: 'Mul', in: ['x', 'k'], out: ['t'] }], [['t', 'float32', null]], {
              k: f32([], [2]),
            }),
            else_branch: body([], [{ op: 'Neg', in: ['x'], out: ['e'] }], [['e', 'float32', null]]),
          },
        },
      ],
      outputs: { y: 'float32' },
    });

  test.each([
    [5, ['Mul']],
    [2, ['Neg']],
  ])('with %i columns only the branch taken is left: %s', async (columns, left) => {
    const flat = await expectSame(bySize(columns), { x: random([2, columns], 'x') });
    expect(flat.graph.nodes.filter((n) => n.opType !== 'Identity').map((n) => n.opType)).toEqual(left);
  });

  test('a condition computed from data is refused by the node and the name it reads', () => {
    const branch = (op: string) => body([], [{ op, in: ['x'], out: [op] }], [[op, 'float32', [2]]]);
    const model = buildModel({
      opset: 17,
      inputs: { x: [2], flag: { dtype: 'bool', dims: [] } },
      nodes: [
        {
          op: 'If',
          name: '/gate',
          in: ['flag'],
          out: ['y'],
          attributes: { then_branch: branch('Neg'), else_branch: branch('Abs') },
        },
      ],
      outputs: { y: 'float32' },
    });
    expect(importing(model)).toThrow(refused('graph/run-time-condition', /If "\/gate".*"flag"/));
  });

  test('a branch may sit in a branch, and an inner name hides an outer one', async () => {
    const inner = body([], [{ op: 'Add', in: ['x', 'k'], out: ['v'] }], [['v', 'float32', null]], { k: f32([], [10]) });
    const outer = body(
      [],
      [{ op: 'If', in: ['yes'], out: ['w'], attributes: { then_branch: inner, else_branch: inner } }],
      [['w', 'float32', null]],
    );
    const model = buildModel({
      opset: 17,
      inputs: { x: [3] },
      weights: { yes },
      nodes: [{ op: 'If', in: ['yes'], out: ['y'], attributes: { then_branch: outer, else_branch: outer } }],
      outputs: { y: 'float32' },
    });
    await expectSame(model, { x: random([3], 'x') });
  });
});

describe('Loop and Scan', () => {
  /** v ← v·w + i, keeping every v, until `limit` says stop. */
  const step = (stop: readonly NodeText[], last: string) =>
    body(
      [
        ['i', 'int64', []],
        ['go', 'bool', []],
        ['v', 'float32', [2]],
      ],
      [
        { op: 'Cast', in: ['i'], out: ['f'], attributes: { to: int(1) } },
        { op: 'Mul', in: ['v', 'w'], out: ['p'] },
        { op: 'Add', in: ['p', 'f'], out: ['next'] },
        { op: 'Identity', in: ['next'], out: ['kept'] },
        ...stop,
      ],
      [
        [last, 'bool', []],
        ['next', 'float32', [2]],
        ['kept', 'float32', [2]],
      ],
    );
  const loop = (trips: number | null, stop: readonly NodeText[] = [{ op: 'Identity', in: ['go'], out: ['more'] }]) =>
    buildModel({
      opset: 17,
      inputs: { x: [2], w: [2] },
      weights: { trips: i64([], [trips ?? 0]), yes, two: i64([], [2]) },
      nodes: [
        {
          op: 'Loop',
          name: '/loop',
          in: [trips === null ? '' : 'trips', 'yes', 'x'],
          out: ['y', 'all'],
          attributes: { body: step(stop, 'more') },
        },
      ],
      outputs: { y: 'float32', all: 'float32' },
    });

  test('a loop of known length computes the same written out', async () => {
    await expectSame(loop(4), { x: random([2], 'x'), w: random([2], 'w') });
  });

  test('a loop ends where its condition, when known, ends it', async () => {
    const model = loop(null, [{ op: 'Less', in: ['i', 'two'], out: ['more'] }]);
    const flat = await expectSame(model, { x: random([2], 'x'), w: random([2], 'w') });
    expect(flat.graph.nodes.filter((n) => n.opType === 'Mul')).toHaveLength(3);
  });

  test('the gradient of xw³ + w + 2 through a loop of three is 3xw² + 1 for w and w³ for x', async () => {
    const { model } = gradientModel(loop(3), { inputDims: {}, wrt: ['x', 'w'], outputs: ['y'] });
    const x = [0.7, -1.3];
    const w = [1.1, 0.4];
    const results = await run(model, { x: f32([2], x), w: f32([2], w), 'cotangent/y': f32([2], [1, 1]) });
    for (const [i, g] of results['grad/x [2]']!.entries()) expect(g).toBeCloseTo(w[i]! ** 3, 5);
    for (const [i, g] of results['grad/w [2]']!.entries()) expect(g).toBeCloseTo(3 * x[i]! * w[i]! ** 2 + 1, 5);
  });

  test('a length that depends on data is refused, by trip count and by condition', () => {
    const open = loop(3);
    open.graph.initializers.delete('trips');
    open.graph.inputs.push({ name: 'trips', dtype: 'int64', dims: [] });
    expect(importing(open)).toThrow(refused('graph/run-time-loop', /Loop "\/loop".*"trips"/));
    const byData = loop(3, [
      { op: 'ReduceSum', in: ['next'], out: ['s'], attributes: { keepdims: int(0) } },
      { op: 'IsNaN', in: ['s'], out: ['more'] },
    ]);
    expect(importing(byData)).toThrow(refused('graph/run-time-loop', /Loop "\/loop"/));
  });

  test('a loop without end, one of a million rounds and nested long ones are refused', () => {
    expect(importing(loop(1_000_000))).toThrow(refused('graph/too-long', /1000000 times/));
    expect(importing(loop(null))).toThrow(refused('graph/too-long', /without end/));
    const state: Port[] = [
      ['i', 'int64', []],
      ['c', 'bool', []],
      ['v', 'float32', [2]],
    ];
    const out: Port[] = [
      ['c', 'bool', []],
      ['r', 'float32', [2]],
    ];
    const rename = (g: Attribute, by: string): Attribute => {
      const text = JSON.stringify(g, (_, v) => (v instanceof Map ? { asMap: [...v] } : v)).replace(
        /"(i|c|v|r)"/g,
        `"$1${by}"`,
      );
      return JSON.parse(text, (_, v) => (v?.asMap ? new Map(v.asMap) : v));
    };
    const inner = rename(body(state, [{ op: 'Neg', in: ['v'], out: ['r'] }], out), '1');
    const middle = rename(
      body(state, [{ op: 'Loop', in: ['n', '', 'v'], out: ['r'], attributes: { body: inner } }], out),
      '2',
    );
    const model = buildModel({
      opset: 17,
      inputs: { x: [2] },
      weights: { n: i64([], [3000]) },
      nodes: [{ op: 'Loop', in: ['n', '', 'x'], out: ['y'], attributes: { body: middle } }],
      outputs: { y: 'float32' },
    });
    expect(importing(model)).toThrow(refused('graph/too-long', /more than 50000 nodes/));
  });

  test('a loop of no rounds gives its first values and empty lists of the declared sizes', async () => {
    await expectSame(loop(0), { x: random([2], 'x'), w: random([2], 'w') });
  });

  test.each([
    [{ num_scan_inputs: int(1) }, [3, 2]],
    [{ num_scan_inputs: int(1), scan_input_directions: { kind: 'ints', value: [1] } }, [3, 2]],
    [
      {
        num_scan_inputs: int(1),
        scan_input_axes: { kind: 'ints', value: [1] },
        scan_output_axes: { kind: 'ints', value: [-1] },
      },
      [2, 4],
    ],
    [{ num_scan_inputs: int(1), scan_output_directions: { kind: 'ints', value: [1] } }, [1, 2]],
  ] as [Record<string, Attribute>, number[]][])(
    'a scan computes the same written out: %j',
    async (attributes, dims) => {
      const model = buildModel({
        opset: 17,
        inputs: { x: dims, start: [2] },
        nodes: [
          {
            op: 'Scan',
            in: ['start', 'x'],
            out: ['last', 'all'],
            attributes: {
              ...attributes,
              body: body(
                [
                  ['s', 'float32', [2]],
                  ['part', 'float32', [2]],
                ],
                [
                  { op: 'Add', in: ['s', 'part'], out: ['sum'] },
                  { op: 'Tanh', in: ['sum'], out: ['seen'] },
                ],
                [
                  ['sum', 'float32', [2]],
                  ['seen', 'float32', [2]],
                ],
              ),
            },
          },
        ],
        outputs: { last: 'float32', all: 'float32' },
      });
      await expectSame(model, { x: random(dims, 'x'), start: random([2], 'start') });
    },
  );
});

describe('lists of tensors', () => {
  const list = (nodes: readonly NodeText[], weights: Record<string, Tensor> = {}) =>
    buildModel({
      opset: 17,
      inputs: { x: [5, 2], z: [5, 2] },
      weights: { at: i64([], [-1]), two: i64([], [2]), sizes: i64([2], [4, 1]), zero: i64([], [0]), ...weights },
      nodes,
      outputs: { y: 'float32' },
    });

  test.each<[string, readonly NodeText[]]>([
    [
      'made, read and joined',
      [
        { op: 'SequenceConstruct', in: ['x', 'z'], out: ['s'] },
        { op: 'SequenceAt', in: ['s', 'at'], out: ['last'] },
        { op: 'SequenceInsert', in: ['s', 'last', 'zero'], out: ['t'] },
        { op: 'ConcatFromSequence', in: ['t'], out: ['y'], attributes: { axis: int(1) } },
      ],
    ],
    [
      'split into equal parts with a rest, one erased, the others joined',
      [
        { op: 'SplitToSequence', in: ['x', 'two'], out: ['s'] },
        { op: 'SequenceErase', in: ['s', 'zero'], out: ['t'] },
        { op: 'ConcatFromSequence', in: ['t'], out: ['y'], attributes: { axis: int(0) } },
      ],
    ],
    [
      'split into given sizes',
      [
        { op: 'SplitToSequence', in: ['x', 'sizes'], out: ['s'] },
        { op: 'SequenceAt', in: ['s', 'at'], out: ['y'] },
      ],
    ],
    [
      'split into rows that are stacked along a new axis',
      [
        { op: 'SplitToSequence', in: ['x'], out: ['s'], attributes: { keepdims: int(0) } },
        { op: 'ConcatFromSequence', in: ['s'], out: ['y'], attributes: { axis: int(1), new_axis: int(1) } },
      ],
    ],
    [
      'empty, filled, counted and passed on',
      [
        { op: 'SequenceEmpty', in: [], out: ['e'] },
        { op: 'SequenceInsert', in: ['e', 'x'], out: ['s'] },
        { op: 'Identity', in: ['s'], out: ['same'] },
        { op: 'SequenceLength', in: ['same'], out: ['n'] },
        { op: 'Cast', in: ['n'], out: ['f'], attributes: { to: int(1) } },
        { op: 'SequenceAt', in: ['same', 'zero'], out: ['back'] },
        { op: 'Mul', in: ['back', 'f'], out: ['y'] },
      ],
    ],
  ])('%s', async (_what, nodes) => {
    await expectSame(list(nodes), { x: random([5, 2], 'x'), z: random([5, 2], 'z') });
  });

  test('a position from data, a value that may be absent and a list given out are refused by name', () => {
    const model = list([
      { op: 'SequenceConstruct', in: ['x', 'z'], out: ['s'] },
      { op: 'SequenceAt', name: '/pick', in: ['s', 'where'], out: ['y'] },
    ]);
    model.graph.inputs.push({ name: 'where', dtype: 'int64', dims: [] });
    expect(importing(model)).toThrow(refused('graph/run-time-position', /SequenceAt "\/pick".*"where"/));
    expect(importing(list([{ op: 'OptionalGetElement', name: '/maybe', in: ['x'], out: ['y'] }]))).toThrow(
      refused('graph/optional', /OptionalGetElement "\/maybe"/),
    );
    expect(importing(list([{ op: 'SequenceConstruct', in: ['x', 'z'], out: ['y'] }]))).toThrow(
      refused('graph/sequence', /output "y"/),
    );
    expect(
      importing(
        list([
          { op: 'SequenceConstruct', in: ['x', 'z'], out: ['s'] },
          { op: 'Neg', in: ['s'], out: ['y'] },
        ]),
      ),
    ).toThrow(refused('graph/sequence', /Neg/));
  });
});

describe("functions of the model's own", () => {
  const reference = (name: string, type: number): Attribute => ({ kind: 'reference', value: name, type });
  /** scale · (x − slope·min(x, 0)) + shift, with `slope` an attribute of the call; `shift` may be omitted. */
  const leaky: LocalFunction = {
    name: 'Leaky',
    domain: 'my.lab',
    overload: '',
    inputs: ['x', 'scale'],
    outputs: ['y'],
    attributes: ['slope'],
    defaults: new Map([['floor', float(-0.25)]]),
    nodes: [
      node({ op: 'LeakyRelu', in: ['x'], out: ['a'], attributes: { alpha: reference('slope', 1) } }),
      node({ op: 'Constant', in: [], out: ['low'], attributes: { value_float: reference('floor', 1) } }),
      node({ op: 'Max', in: ['a', 'low'], out: ['b'] }),
      node({ op: 'Mul', in: ['b', 'scale'], out: ['y'] }),
    ],
    opsets: new Map([['', 17]]),
  };
  const twice: LocalFunction = {
    ...leaky,
    name: 'Twice',
    attributes: [],
    defaults: new Map(),
    nodes: [
      node({ op: 'Leaky', domain: 'my.lab', in: ['x', 'scale'], out: ['h'], attributes: { slope: float(0.5) } }),
      node({
        op: 'Leaky',
        domain: 'my.lab',
        in: ['h', 'scale'],
        out: ['y'],
        attributes: { slope: float(0.125), floor: float(-1) },
      }),
    ],
    opsets: new Map([
      ['', 17],
      ['my.lab', 1],
    ]),
  };
  const calling = (functions: readonly LocalFunction[], opset = 17): Model => {
    const model = buildModel({
      opset,
      inputs: { x: [2, 3] },
      weights: { s: f32([], [1.5]) },
      nodes: [{ op: 'Twice', domain: 'my.lab', in: ['x', 's'], out: ['y'] }],
      outputs: { y: 'float32' },
    });
    model.opsets.set('my.lab', 1);
    return { ...model, irVersion: 10, functions: new Map(functions.map((f) => [functionKey(f, f.name), f])) };
  };

  test('a model keeps them when it is written and read', () => {
    const model = calling([leaky, twice]);
    const read = parseModel(encodeModel(model), 'x');
    expect(read.functions).toEqual(model.functions);
    expect(encodeModel(read)).toEqual(encodeModel(model));
  });

  test('calls within calls, with given, referred-to and default attributes, compute the same written out', async () => {
    await expectSame(calling([leaky, twice]), { x: random([2, 3], 'x') });
  });

  test('a body is read in the opset of its function, not of the model', async () => {
    const old: LocalFunction = {
      ...leaky,
      name: 'Twice',
      attributes: [],
      defaults: new Map(),
      // Before opset 13 the axes are an attribute.
      nodes: [
        node({ op: 'ReduceSum', in: ['x'], out: ['r'], attributes: { axes: { kind: 'ints', value: [1] } } }),
        node({ op: 'Mul', in: ['r', 'scale'], out: ['y'] }),
      ],
      opsets: new Map([['', 12]]),
    };
    const flat = imported(calling([old], 21));
    const x = random([2, 3], 'x');
    const [, values] = Object.entries(await run(flat, { x }))[0]!;
    const v = toNumbers(x);
    for (const i of [0, 1]) expect(values[i]).toBeCloseTo(1.5 * (v[3 * i]! + v[3 * i + 1]! + v[3 * i + 2]!), 5);
  });

  test('a function that calls itself is refused', () => {
    const endless = { ...twice, nodes: [node({ op: 'Twice', domain: 'my.lab', in: ['x', 'scale'], out: ['y'] })] };
    expect(importing(calling([endless]))).toThrow(refused('onnx/recursive-function', /"Twice"/));
  });

  test('a few functions that double each other many times are refused before they fill the memory', () => {
    const levels = Array.from({ length: 30 }, (_, i): LocalFunction => {
      const op = i === 0 ? 'Neg' : `F${i - 1}`;
      const domain = i === 0 ? '' : 'my.lab';
      const nodes = [node({ op, domain, in: ['x'], out: ['h'] }), node({ op, domain, in: ['h'], out: ['y'] })];
      return { ...twice, name: i === 29 ? 'Twice' : `F${i}`, inputs: ['x', 'scale'], nodes };
    });
    expect(importing(calling(levels))).toThrow(refused('graph/too-long', /more than 50000 nodes/));
  });
});
