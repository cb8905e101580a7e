import { describe, expect, test } from 'vitest';
import { WORKING_OPSET } from '#models/onnx/builder.ts';
import { type Attribute, type Graph, int, ints, type Model, type Node, str, tensorAttribute } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { NodeAttributes } from '#models/ops/define.ts';
import { inferNode, operators } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { type DType, f32, fromNumbers, i64, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { buildGradient } from '#test/support/check-gradient.ts';
import { gradientCases } from './cases/index.ts';

interface FoldCase {
  readonly opType: string;
  /** Null: left out. */
  readonly inputs: readonly (Tensor | null)[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly outputs?: number;
}

const bool = (values: readonly number[]) => fromNumbers('bool', [values.length], values);
const scalar = (v: number) => i64([], [v]);
const a = i64([2, 3], [4, -7, 9, 0, 5, -6]);
const b = i64([3], [2, 3, -4]);
const x = f32([2, 3], [0.5, -1.5, 2.5, 3, -0.25, 1]);
const positive = f32([4], [0.25, 1, 2, 9]);

const pair = (name: string) => ({ name, dtype: 'float32' as const, dims: [2] });
/** sum' = sum + x, which is also given out. */
const runningSum: Graph = {
  name: 'body',
  nodes: [
    { opType: 'Add', domain: '', name: 'add', inputs: ['sum', 'x'], outputs: ['next'], attributes: new Map() },
    { opType: 'Identity', domain: '', name: 'show', inputs: ['next'], outputs: ['shown'], attributes: new Map() },
  ],
  inputs: [pair('sum'), pair('x')],
  outputs: [pair('next'), pair('shown')],
  initializers: new Map(),
  valueInfo: new Map(),
};

const cases: readonly FoldCase[] = [
  ...['Add', 'Sub', 'Mul', 'Div', 'Mod'].map((opType) => ({ opType, inputs: [a, b] })),
  ...['Add', 'Sub', 'Mul', 'Div'].map((opType) => ({ opType, inputs: [x, f32([2, 1], [2, -4])] })),
  { opType: 'Mod', inputs: [x, f32([], [2])], attributes: { fmod: int(1) } },
  { opType: 'Mod', inputs: [a, b], attributes: { fmod: int(1) } },
  ...['Sum', 'Max', 'Min'].map((opType) => ({ opType, inputs: [x, f32([3], [1, 2, -4]), f32([2, 1], [1, 5])] })),
  ...['Max', 'Min'].map((opType) => ({ opType, inputs: [a, b, i64([2, 1], [1, 5])] })),
  { opType: 'Max', inputs: [x] },
  ...['BitwiseAnd', 'BitwiseOr', 'BitwiseXor'].flatMap((opType) => [
    { opType, inputs: [a, b] },
    { opType, inputs: [fromNumbers('uint8', [3], [200, 7, 255]), fromNumbers('uint8', [1], [13])] },
  ]),
  ...['LEFT', 'RIGHT'].map((direction) => ({
    opType: 'BitShift',
    inputs: [fromNumbers('uint8', [3], [200, 7, 255]), fromNumbers('uint8', [1], [3])],
    attributes: { direction: str(direction) },
  })),
  { opType: 'BitwiseNot', inputs: [a] },
  { opType: 'Pow', inputs: [positive, f32([], [0.5])] },
  { opType: 'Pow', inputs: [i64([2], [3, -2]), i64([], [3])] },
  ...['Neg', 'Abs', 'Sign', 'Identity'].map((opType) => ({ opType, inputs: [a] })),
  ...['Neg', 'Abs', 'Sign', 'Relu', 'Floor', 'Ceil', 'Exp', 'Reciprocal', 'Sin', 'Cos', 'Round'].map((opType) => ({
    opType,
    inputs: [x],
  })),
  ...['Log', 'Sqrt'].map((opType) => ({ opType, inputs: [positive] })),
  ...['Equal', 'Greater', 'Less', 'GreaterOrEqual', 'LessOrEqual'].map((opType) => ({
    opType,
    inputs: [a, i64([3], [4, 5, 9])],
  })),
  ...['And', 'Or', 'Xor'].map((opType) => ({ opType, inputs: [bool([1, 1, 0, 0]), bool([1, 0, 1, 0])] })),
  { opType: 'Not', inputs: [bool([1, 0])] },
  { opType: 'Where', inputs: [fromNumbers('bool', [2, 1], [1, 0]), a, scalar(7)] },
  { opType: 'Cast', inputs: [x], attributes: { to: int(7) } },
  { opType: 'Cast', inputs: [a], attributes: { to: int(1) } },
  { opType: 'Cast', inputs: [a], attributes: { to: int(9) } },
  { opType: 'Reshape', inputs: [a, i64([3], [-1, 0, 1])] },
  { opType: 'Squeeze', inputs: [i64([1, 3, 1], [1, 2, 3]), i64([1], [-1])] },
  { opType: 'Squeeze', inputs: [i64([1, 3, 1], [1, 2, 3])] },
  { opType: 'Unsqueeze', inputs: [a, i64([2], [0, -1])] },
  { opType: 'Transpose', inputs: [a] },
  { opType: 'Transpose', inputs: [i64([1, 2, 3], [1, 2, 3, 4, 5, 6])], attributes: { perm: ints([2, 0, 1]) } },
  { opType: 'Concat', inputs: [b, i64([0], []), i64([2], [8, 9])], attributes: { axis: int(-1) } },
  { opType: 'Concat', inputs: [a, i64([1, 3], [1, 2, 3])], attributes: { axis: int(0) } },
  { opType: 'Split', inputs: [a, i64([2], [1, 2])], attributes: { axis: int(1) }, outputs: 2 },
  { opType: 'Slice', inputs: [a, i64([1], [-1]), i64([1], [-10]), i64([1], [1]), i64([1], [-2])] },
  { opType: 'Slice', inputs: [i64([4], [1, 2, 3, 4]), i64([1], [1]), i64([1], [2 ** 31])] },
  { opType: 'Expand', inputs: [b, i64([2], [2, 1])] },
  { opType: 'Gather', inputs: [b, scalar(-1)] },
  { opType: 'Gather', inputs: [a, i64([2], [2, 0])], attributes: { axis: int(1) } },
  { opType: 'Concat', inputs: [a, i64([2, 1], [1, 2])], attributes: { axis: int(1) } },
  { opType: 'Flatten', inputs: [i64([1, 2, 3], [1, 2, 3, 4, 5, 6])], attributes: { axis: int(-1) } },
  { opType: 'Tile', inputs: [a, i64([2], [2, 3])] },
  { opType: 'Clip', inputs: [x, f32([], [-0.5]), f32([], [1])] },
  { opType: 'Clip', inputs: [a, scalar(3)] },
  { opType: 'CastLike', inputs: [x, scalar(0)] },
  { opType: 'Trilu', inputs: [i64([2, 3], [1, 2, 3, 4, 5, 6])] },
  { opType: 'Trilu', inputs: [i64([2, 3], [1, 2, 3, 4, 5, 6]), scalar(-1)], attributes: { upper: int(0) } },
  { opType: 'Pad', inputs: [a, i64([4], [0, 2, 1, -1]), scalar(9)] },
  ...['reflect', 'edge', 'wrap'].flatMap((mode) => [
    { opType: 'Pad', inputs: [a, i64([4], [1, 2, 0, 1])], attributes: { mode: str(mode) } },
    { opType: 'Pad', inputs: [a, i64([2], [1, -1]), null, i64([1], [1])], attributes: { mode: str(mode) } },
  ]),
  { opType: 'GatherElements', inputs: [a, i64([1, 3], [1, 0, -1])] },
  { opType: 'GatherElements', inputs: [a, i64([2, 2], [1, 0, -1, -3])], attributes: { axis: int(1) } },
  { opType: 'GatherND', inputs: [a, i64([2, 2], [0, 1, 1, -1])] },
  { opType: 'GatherND', inputs: [a, i64([3, 1], [1, 0, -1])] },
  { opType: 'GatherND', inputs: [a, i64([2, 2, 1], [1, 0, -1, 2])], attributes: { batch_dims: int(1) } },
  { opType: 'ScatterND', inputs: [a, i64([2, 1], [1, 0]), i64([2, 3], [1, 2, 3, 4, 5, 6])] },
  ...['none', 'add', 'mul', 'max', 'min'].map((reduction) => ({
    opType: 'ScatterND',
    inputs: [b, i64([2, 1], [-1, 0]), i64([2], [3, 1])],
    attributes: { reduction: str(reduction) },
  })),
  ...['CumSum', 'CumProd'].flatMap((opType) =>
    [0, 1].flatMap((exclusive) =>
      [0, 1].map((reverse) => ({
        opType,
        inputs: [a, scalar(exclusive)],
        attributes: { exclusive: int(exclusive), reverse: int(reverse) },
      })),
    ),
  ),
  ...['HannWindow', 'HammingWindow', 'BlackmanWindow'].flatMap((opType) => [
    { opType, inputs: [scalar(7)] },
    { opType, inputs: [scalar(6)], attributes: { periodic: int(0) } },
  ]),
  {
    opType: 'MelWeightMatrix',
    inputs: [scalar(4), scalar(16), scalar(8000), f32([], [20]), f32([], [3000])],
  },
  {
    opType: 'Scan',
    inputs: [f32([2], [1, 2]), f32([3, 2], [1, 2, 3, 4, 5, 6])],
    attributes: { num_scan_inputs: int(1), body: { kind: 'graph', value: runningSum } },
    outputs: 2,
  },
  { opType: 'NonZero', inputs: [a] },
  { opType: 'NonZero', inputs: [bool([1, 0, 1])] },
  { opType: 'Unique', inputs: [i64([6], [2, 1, 1, 3, 4, 3])], outputs: 4 },
  { opType: 'Unique', inputs: [i64([6], [2, 1, 1, 3, 4, 3])], attributes: { sorted: int(0) }, outputs: 4 },
  {
    opType: 'Unique',
    inputs: [i64([4, 2], [3, 4, 1, 2, 3, 4, 1, 0])],
    attributes: { axis: int(0) },
    outputs: 4,
  },
  { opType: 'Unique', inputs: [i64([2, 3], [2, 1, 2, 4, 3, 4])], attributes: { axis: int(1) }, outputs: 4 },
  { opType: 'Hardmax', inputs: [x] },
  { opType: 'QuantizeLinear', inputs: [x, f32([], [0.1]), fromNumbers('int8', [], [3])] },
  { opType: 'QuantizeLinear', inputs: [x, f32([], [0.1])] },
  { opType: 'DynamicQuantizeLinear', inputs: [x], outputs: 3 },
  {
    opType: 'MatMulInteger',
    inputs: [fromNumbers('uint8', [2, 3], [1, 2, 3, 4, 5, 6]), fromNumbers('uint8', [3, 1], [1, 2, 3])],
  },
  {
    opType: 'QLinearMatMul',
    inputs: [
      fromNumbers('uint8', [2, 3], [1, 2, 3, 4, 5, 6]),
      f32([], [0.1]),
      fromNumbers('uint8', [], [0]),
      fromNumbers('uint8', [3, 1], [1, 2, 3]),
      f32([], [0.1]),
      fromNumbers('uint8', [], [0]),
      f32([], [0.1]),
      fromNumbers('uint8', [], [0]),
    ],
  },
  {
    opType: 'ConvInteger',
    inputs: [fromNumbers('uint8', [1, 1, 3], [1, 2, 3]), fromNumbers('uint8', [2, 1, 2], [1, 2, 3, 4])],
    attributes: { pads: ints([1, 0]) },
  },
  {
    opType: 'QLinearConv',
    inputs: [
      fromNumbers('uint8', [1, 1, 3], [1, 2, 3]),
      f32([], [0.1]),
      fromNumbers('uint8', [], [0]),
      fromNumbers('uint8', [2, 1, 2], [1, 2, 3, 4]),
      f32([], [0.1]),
      fromNumbers('uint8', [], [0]),
      f32([], [0.1]),
      fromNumbers('uint8', [], [0]),
    ],
    attributes: { strides: ints([2]) },
  },
  ...['RandomNormalLike', 'RandomUniformLike'].map((opType) => ({ opType, inputs: [x] })),
  { opType: 'RandomNormalLike', inputs: [a], attributes: { dtype: int(1) } },
  ...['RandomNormal', 'RandomUniform'].map((opType) => ({ opType, inputs: [], attributes: { shape: ints([2, 3]) } })),
  { opType: 'Bernoulli', inputs: [f32([2], [0, 1])] },
  { opType: 'Multinomial', inputs: [x], attributes: { sample_size: int(4) } },
  { opType: 'ConstantOfShape', inputs: [i64([2], [2, 3])] },
  { opType: 'ConstantOfShape', inputs: [i64([1], [2])], attributes: { value: tensorAttribute(i64([1], [5])) } },
  { opType: 'ConstantOfShape', inputs: [i64([0], [])] },
  { opType: 'Range', inputs: [scalar(2), scalar(11), scalar(3)] },
  { opType: 'Range', inputs: [scalar(5), scalar(0), scalar(-2)] },
  { opType: 'Range', inputs: [f32([], [0]), f32([], [1]), f32([], [0.3])] },
  ...['IsNaN', 'IsInf', 'Softplus'].map((opType) => ({ opType, inputs: [x] })),
  { opType: 'Shape', inputs: [a] },
  { opType: 'Shape', inputs: [f32([2, 1, 3], [1, 2, 3, 4, 5, 6])], attributes: { start: int(-2), end: int(3) } },
  { opType: 'Size', inputs: [a] },
  { opType: 'Constant', inputs: [], attributes: { value: tensorAttribute(a) } },
  ...['ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceProd'].flatMap((opType) => [
    { opType, inputs: [b], attributes: { keepdims: int(0) } },
    { opType, inputs: [b] },
    { opType, inputs: [b, i64([1], [0])] },
    { opType, inputs: [a, i64([1], [1])] },
    { opType, inputs: [a, i64([1], [-2])], attributes: { keepdims: int(0) } },
    { opType, inputs: [a, i64([0], [])], attributes: { noop_with_empty_axes: int(1) } },
  ]),
];

const nodeOf = ({ opType, inputs, attributes = {}, outputs = 1 }: FoldCase): Node => ({
  opType,
  domain: '',
  name: 'node',
  inputs: inputs.map((t, i) => (t ? `x${i}` : '')),
  outputs: Array.from({ length: outputs }, (_, i) => `y${i}`),
  attributes: new Map(Object.entries(attributes)),
});

const present = (c: FoldCase): [number, Tensor][] =>
  c.inputs.flatMap((t, i) => (t ? [[i, t] as [number, Tensor]] : []));

/** The node alone in a model, its inputs fed. */
async function runNode(c: FoldCase, dtypes: readonly DType[]): Promise<Tensor[]> {
  const node = nodeOf(c);
  const model: Model = {
    irVersion: 10,
    producerName: 'test',
    opsets: new Map([['', Math.max(WORKING_OPSET, operators.get(c.opType)!.sinceVersion)]]),
    metadata: new Map(),
    graph: {
      name: 'fold',
      nodes: [node],
      inputs: present(c).map(([i, t]) => ({ name: node.inputs[i]!, dtype: t.dtype, dims: t.dims })),
      outputs: node.outputs.map((name, i) => ({ name, dtype: dtypes[i]!, dims: null })),
      initializers: new Map(),
      valueInfo: new Map(),
    },
  };
  const session = await createSession(encodeModel(model), { threads: 1 });
  const out = await session.run(Object.fromEntries(present(c).map(([i, t]) => [node.inputs[i]!, t])));
  await session.release();
  return node.outputs.map((name) => out[name]!);
}

const foldOf = (c: FoldCase) =>
  operators.get(c.opType)!.fold?.(
    c.inputs.map((t) => t ?? undefined),
    new NodeAttributes(nodeOf(c)),
  );

/** What the shape rule says when every input is known. */
function inferOf(c: FoldCase) {
  const node = nodeOf(c);
  const values = c.inputs
    .map((t, i) => t && { name: node.inputs[i]!, dtype: t.dtype, dims: t.dims })
    .map((v) => v ?? undefined);
  return inferNode(node, values, (name) => c.inputs[node.inputs.indexOf(name)] ?? undefined, WORKING_OPSET);
}

/** The last bit of a transcendental function differs between libraries. */
const expectSame = (folded: Tensor, ran: Tensor) => {
  expect({ dtype: folded.dtype, dims: [...folded.dims] }).toEqual({ dtype: ran.dtype, dims: [...ran.dims] });
  const actual = toNumbers(folded);
  toNumbers(ran).forEach((v, i) => {
    expect(Math.abs(actual[i]! - v)).toBeLessThanOrEqual(
      ran.dtype === 'float32' ? 1e-6 * Math.max(Math.abs(v), 0.1) : 0,
    );
  });
};

describe('the shape, the type and, where it folds, the value of a node', () => {
  for (const c of cases) {
    const text = [
      ...c.inputs.map((t) => (t ? `${t.dtype}[${t.dims}]` : 'nothing')),
      ...Object.entries(c.attributes ?? {}).map(([k, v]) =>
        v.kind === 'tensor' || v.kind === 'graph' ? k : `${k} ${JSON.stringify(v.value)}`,
      ),
    ];
    test(`${c.opType}(${text.join(', ')}) is known before it runs`, async () => {
      const inferred = inferOf(c).slice(0, c.outputs ?? 1);
      const ran = await runNode(
        c,
        inferred.map((t) => t.dtype),
      );
      expect(inferred.map((t) => [t.dtype, [...t.dims]])).toEqual(ran.map((t) => [t.dtype, [...t.dims]]));
      foldOf(c)?.forEach((t, i) => {
        expectSame(t, ran[i]!);
      });
    });
  }

  test('every operator that folds has a case', () => {
    const covered = new Set(cases.map((c) => c.opType));
    expect([...operators.values()].filter((d) => d.fold && !covered.has(d.opType)).map((d) => d.opType)).toEqual([]);
  });

  test("every operator's shape rule meets the runtime, here or in a graph whose gradient is checked", () => {
    const graphs = Object.values(gradientCases)
      .flat()
      .flatMap((c) => buildGradient(c, 'float32').model.graph.nodes);
    const covered = new Set([...cases, ...graphs].map((n) => n.opType));
    // Decomposed before they run; their shape is their input's, which the checks of their gradients compare.
    const decomposed = [...operators].filter(([, d]) => d.decompose).map(([key]) => key);
    expect([...operators.keys()].filter((name) => !covered.has(name) && !decomposed.includes(name))).toEqual([]);
  });
});
