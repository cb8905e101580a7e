import { describe, expect, test } from 'vitest';
import { WORKING_OPSET } from '#models/onnx/builder.ts';
import { type Attribute, int, ints, type Model, type Node, tensorAttribute } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { NodeAttributes } from '#models/ops/define.ts';
import { inferNode, operators } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { type DType, f32, fromNumbers, i64, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { buildGradient } from '#test/support/check-gradient.ts';
import { gradientCases } from './cases/index.ts';

interface FoldCase {
  readonly opType: string;
  readonly inputs: readonly Tensor[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly outputs?: number;
}

const bool = (values: readonly number[]) => fromNumbers('bool', [values.length], values);
const scalar = (v: number) => i64([], [v]);
const a = i64([2, 3], [4, -7, 9, 0, 5, -6]);
const b = i64([3], [2, 3, -4]);
const x = f32([2, 3], [0.5, -1.5, 2.5, 3, -0.25, 1]);
const positive = f32([4], [0.25, 1, 2, 9]);

const cases: readonly FoldCase[] = [
  ...['Add', 'Sub', 'Mul', 'Div', 'Mod'].map((opType) => ({ opType, inputs: [a, b] })),
  ...['Add', 'Sub', 'Mul', 'Div'].map((opType) => ({ opType, inputs: [x, f32([2, 1], [2, -4])] })),
  { opType: 'Mod', inputs: [x, f32([], [2])], attributes: { fmod: int(1) } },
  { opType: 'Mod', inputs: [a, b], attributes: { fmod: int(1) } },
  { opType: 'Pow', inputs: [positive, f32([], [0.5])] },
  { opType: 'Pow', inputs: [i64([2], [3, -2]), i64([], [3])] },
  ...['Neg', 'Abs', 'Sign', 'Identity'].map((opType) => ({ opType, inputs: [a] })),
  ...['Neg', 'Abs', 'Sign', 'Relu', 'Floor', 'Ceil', 'Exp', 'Reciprocal'].map((opType) => ({ opType, inputs: [x] })),
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
  { opType: 'ConstantOfShape', inputs: [i64([2], [2, 3])] },
  { opType: 'ConstantOfShape', inputs: [i64([1], [2])], attributes: { value: tensorAttribute(i64([1], [5])) } },
  { opType: 'ConstantOfShape', inputs: [i64([0], [])] },
  { opType: 'Range', inputs: [scalar(2), scalar(11), scalar(3)] },
  { opType: 'Range', inputs: [scalar(5), scalar(0), scalar(-2)] },
  { opType: 'Range', inputs: [f32([], [0]), f32([], [1]), f32([], [0.3])] },
  ...['IsNaN', 'IsInf', 'Round', 'Softplus'].map((opType) => ({ opType, inputs: [x] })),
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
  inputs: inputs.map((_, i) => `x${i}`),
  outputs: Array.from({ length: outputs }, (_, i) => `y${i}`),
  attributes: new Map(Object.entries(attributes)),
});

/** The node alone in a model, its inputs fed. */
async function runNode(c: FoldCase, dtypes: readonly DType[]): Promise<Tensor[]> {
  const node = nodeOf(c);
  const model: Model = {
    irVersion: 10,
    producerName: 'test',
    opsets: new Map([['', 21]]),
    metadata: new Map(),
    graph: {
      name: 'fold',
      nodes: [node],
      inputs: c.inputs.map((t, i) => ({ name: node.inputs[i]!, dtype: t.dtype, dims: t.dims })),
      outputs: node.outputs.map((name, i) => ({ name, dtype: dtypes[i]!, dims: null })),
      initializers: new Map(),
      valueInfo: new Map(),
    },
  };
  const session = await createSession(encodeModel(model), { threads: 1 });
  const out = await session.run(Object.fromEntries(c.inputs.map((t, i) => [node.inputs[i]!, t])));
  await session.release();
  return node.outputs.map((name) => out[name]!);
}

const foldOf = (c: FoldCase) => operators.get(c.opType)!.fold?.(c.inputs, new NodeAttributes(nodeOf(c)));

/** What the shape rule says when every input is known. */
function inferOf(c: FoldCase) {
  const node = nodeOf(c);
  const values = c.inputs.map((t, i) => ({ name: node.inputs[i]!, dtype: t.dtype, dims: t.dims }));
  return inferNode(node, values, (name) => c.inputs[node.inputs.indexOf(name)], WORKING_OPSET);
}

/** The last bit of a transcendental function differs between libraries. */
const expectSame = (folded: Tensor, ran: Tensor) => {
  expect({ dtype: folded.dtype, dims: [...folded.dims] }).toEqual({ dtype: ran.dtype, dims: [...ran.dims] });
  const actual = toNumbers(folded);
  toNumbers(ran).forEach((v, i) => {
    expect(Math.abs(actual[i]! - v)).toBeLessThanOrEqual(ran.dtype === 'float32' ? 1e-6 * Math.abs(v) : 0);
  });
};

describe('the shape, the type and, where it folds, the value of a node', () => {
  for (const c of cases) {
    const text = [
      ...c.inputs.map((t) => `${t.dtype}[${t.dims}]`),
      ...Object.entries(c.attributes ?? {}).map(([k, v]) =>
        v.kind === 'tensor' ? k : `${k} ${JSON.stringify(v.value)}`,
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
