import { describe, expect, test } from 'vitest';
import { addGradients } from '#models/autodiff/grad.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { int, ints } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, f64, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { buildModel } from '#test/support/build-model.ts';

const normal = (label: string, dims: readonly number[]): number[] =>
  Array.from(new Rng(5).fork(label).fillNormal(new Float32Array(numel(dims))));

async function run(op: GraphBuilder, feeds: Record<string, Tensor>): Promise<Record<string, number[]>> {
  const session = await createSession(encodeModel(op.toModel('fused')), { threads: 1 });
  const results = await session.run(feeds);
  await session.release();
  return Object.fromEntries(Object.entries(results).map(([name, t]) => [name, toNumbers(t)]));
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(...a.map((x, i) => x - b[i]!)) / Math.hypot(...b);
}

interface Case {
  readonly title: string;
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly body: (op: GraphBuilder, v: Record<string, Value>) => Value;
  /** Whether the fused form has fewer nodes: that it was taken at all. */
  readonly taken: boolean;
}

const attention = (op: GraphBuilder, v: Record<string, Value>) =>
  op.matmul(op.softmax(op.matmul(v.q!, op.transposeLast(v.k!))), v.v!);
const heads = { q: [2, 3, 5, 4], k: [2, 3, 7, 4], v: [2, 3, 7, 6] };

const cases: Case[] = [
  { title: 'x·σ(x)', inputs: { x: [3, 4] }, body: (op, v) => op.mul(v.x!, op.sigmoid(v.x!)), taken: true },
  { title: 'σ(x)·x', inputs: { x: [3, 4] }, body: (op, v) => op.mul(op.sigmoid(v.x!), v.x!), taken: true },
  {
    title: 'SiLU whose gate is used elsewhere',
    inputs: { x: [3, 4] },
    body: (op, v) => {
      const s = op.sigmoid(v.x!);
      return op.add2(op.mul(v.x!, s), op.mul(s, s));
    },
    taken: true,
  },
  {
    title: 'a gate of another value',
    inputs: { x: [3, 4], z: [3, 4] },
    body: (op, v) => op.mul(v.x!, op.sigmoid(v.z!)),
    taken: false,
  },
  { title: 'attention', inputs: heads, body: attention, taken: true },
  {
    title: 'attention whose probabilities are read',
    inputs: heads,
    body: (op, v) => {
      const p = op.softmax(op.matmul(v.q!, op.transposeLast(v.k!)));
      return op.add2(op.reduceSumAll(op.mul(p, p)), op.matmul(p, v.v!));
    },
    taken: false,
  },
  {
    title: 'attention over values shared by all heads',
    inputs: { ...heads, v: [7, 6] },
    body: attention,
    taken: false,
  },
];

describe('groups differentiated as one', () => {
  for (const { title, inputs, body, taken } of cases) {
    test(`${title}: the gradient is that of the parts`, async () => {
      const gradients = async (fuse: boolean) => {
        const op = createBuilder();
        const v = Object.fromEntries(
          Object.entries(inputs).map(([name, dims]) => [name, op.input(name, 'float64', dims)]),
        );
        const y = body(op, v);
        const cotangent = op.constant(f64(y.dims, normal('dy', y.dims)));
        const grads = addGradients(op, [{ value: y, cotangent }], Object.values(v), { fuse });
        for (const [name, g] of grads) op.output(g!, `grad/${name}`);
        const feeds = Object.fromEntries(
          Object.entries(inputs).map(([name, dims]) => [name, f64(dims, normal(name, dims))]),
        );
        return { results: await run(op, feeds), nodes: op.nodes.length };
      };
      const fused = await gradients(true);
      const parts = await gradients(false);
      expect(fused.nodes !== parts.nodes).toBe(taken);
      for (const [name, g] of Object.entries(parts.results))
        expect(distance(fused.results[name]!, g), name).toBeLessThan(1e-12);
    });
  }
});

describe("graphs for the runtime's own kernels", () => {
  /** Attention as exporters write it: heads split off by Transpose, the scores scaled. Probabilities larger than 2 MB. */
  const exported =
    (scaled: (op: GraphBuilder, scores: Value) => Value) =>
    (op: GraphBuilder, v: Record<string, Value>): Value => {
      const scores = op.matmul(op.transpose(v.q!, [0, 2, 1, 3]), op.transpose(v.k!, [0, 2, 3, 1]));
      const o = op.matmul(op.softmax(scaled(op, scores)), op.transpose(v.v!, [0, 2, 1, 3]));
      return op.reshape(op.transpose(o, [0, 2, 1, 3]), [o.dims[0]!, o.dims[2]!, o.dims[1]! * o.dims[3]!]);
    };
  const sizes = (length: number, keys: number, heads: number) => ({
    q: [1, length, heads, 4],
    k: [1, keys, heads, 4],
    v: [1, keys, heads, 5],
  });
  for (const { title, inputs, body } of [
    {
      title: 'all heads at once',
      inputs: sizes(300, 320, 8),
      body: exported((op, s) => op.mulScalar(s, 0.4)),
    },
    {
      title: 'some heads at a time',
      inputs: sizes(300, 320, 12),
      body: exported((op, s) => op.mulScalar(s, 0.4)),
    },
    {
      title: 'one head at a time',
      inputs: sizes(700, 700, 9),
      body: exported((op, s) => op.mulScalar(s, 0.4)),
    },
    {
      title: 'several blocks for each head, other keys than queries',
      inputs: sizes(1500, 1450, 2),
      body: exported((op, s) => op.div(s, op.scalar(2))),
    },
  ]) {
    test(`blocked attention, ${title}: outputs and gradients are those of the plain graph`, async () => {
      const results = async (kernels: 'standard' | 'ort') => {
        const op = createBuilder();
        const v = Object.fromEntries(
          Object.entries(inputs).map(([name, dims]) => [name, op.input(name, 'float32', dims)]),
        );
        const y = body(op, v);
        const cotangent = op.constant(f32(y.dims, normal('dy', y.dims)));
        const grads = addGradients(op, [{ value: y, cotangent }], Object.values(v), { kernels });
        op.output(y, 'output');
        for (const [name, g] of grads) op.output(g!, `grad/${name}`);
        const forward = op.toModel('m').graph.nodes.filter((n) => !n.name.startsWith('grad/'));
        const probabilities = forward.filter((n) => n.opType === 'Softmax').length;
        const feeds = Object.fromEntries(
          Object.entries(inputs).map(([name, dims]) => [name, f32(dims, normal(name, dims))]),
        );
        return { outputs: await run(op, feeds), probabilities };
      };
      const blocked = await results('ort');
      const plain = await results('standard');
      expect([blocked.probabilities, plain.probabilities]).toEqual([0, 1]);
      for (const [name, t] of Object.entries(plain.outputs))
        expect(distance(blocked.outputs[name]!, t), name).toBeLessThan(2e-6);
    });
  }
});

describe('a linear layer with an adapter', () => {
  for (const { title, rows, merged } of [
    { title: 'more rows than the weight', rows: [4, 5], merged: true },
    { title: 'few rows', rows: [2], merged: false },
  ]) {
    test(`${title}: output and gradients are those of the layer and its adapter apart`, async () => {
      const dims = { x: [...rows, 6], a: [2, 6], b: [8, 2] };
      const results = async (fuse: boolean) => {
        const op = createBuilder();
        const v = Object.fromEntries(Object.entries(dims).map(([name, d]) => [name, op.input(name, 'float64', d)]));
        const w = op.initializer('w', f64([6, 8], normal('w', [6, 8])));
        const down = op.matmul(v.x!, op.transpose(v.a!, [1, 0]));
        const up = op.matmul(op.mulScalar(down, 0.5), op.transpose(v.b!, [1, 0]));
        const y = op.add2(op.matmul(v.x!, w), up);
        const cotangent = op.constant(f64(y.dims, normal('dy', y.dims)));
        const grads = addGradients(op, [{ value: y, cotangent }], Object.values(v), { fuse });
        op.output(y, 'output');
        for (const [name, g] of grads) op.output(g!, `grad/${name}`);
        const used = op.toModel('m').graph.nodes.some((n) => n.opType === 'Add');
        const feeds = Object.fromEntries(Object.entries(dims).map(([name, d]) => [name, f64(d, normal(name, d))]));
        return { outputs: await run(op, feeds), apart: used };
      };
      const fused = await results(true);
      const parts = await results(false);
      expect([fused.apart, parts.apart]).toEqual([!merged, true]);
      for (const [name, t] of Object.entries(parts.outputs))
        expect(distance(fused.outputs[name]!, t), name).toBeLessThan(1e-12);
    });
  }
});

describe('a trained convolution to few channels', () => {
  for (const geometry of [
    { title: 'same padding', kernel: [3, 3], pads: [1, 1, 1, 1], dilations: [1, 1], transposed: true },
    { title: 'no padding', kernel: [3, 2], pads: [0, 0, 0, 0], dilations: [1, 1], transposed: true },
    { title: 'dilated, uneven padding', kernel: [2, 3], pads: [1, 0, 0, 2], dilations: [1, 2], transposed: true },
    { title: 'more padding than kernel', kernel: [2, 2], pads: [2, 2, 2, 2], dilations: [1, 1], transposed: false },
  ]) {
    test(`${geometry.title}: output and gradients are those of the convolution`, async () => {
      const dims = { x: [2, 8, 6, 7], w: [2, 8, ...geometry.kernel] };
      const model = buildModel({
        opset: 18,
        inputs: { x: dims.x },
        weights: { w: f32(dims.w, normal('w', dims.w)) },
        nodes: [
          {
            op: 'Conv',
            in: ['x', 'w'],
            out: ['y'],
            name: 'conv',
            attributes: { pads: ints(geometry.pads), dilations: ints(geometry.dilations), group: int(1) },
          },
        ],
        outputs: { y: 'float32' },
      });
      const results = async (narrow: boolean) => {
        const op = createBuilder();
        const net = narrow ? importGraph(op, model, { inputs: {}, role: () => 'input' }) : null;
        const x = net?.inputs.get('x') ?? op.input('x', 'float32', dims.x);
        const w = net?.weights.get('w') ?? op.input('w', 'float32', dims.w);
        const y = net?.outputs.get('y') ?? op.conv(x, w, null, { pads: geometry.pads, dilations: geometry.dilations });
        const transposed = op.nodes.some((n) => n.opType === 'ConvTranspose');
        const cotangent = op.constant(f32(y.dims, normal('dy', y.dims)));
        const grads = addGradients(op, [{ value: y, cotangent }], [x, w]);
        op.output(y, 'output');
        for (const [name, g] of grads) op.output(g!, `grad/${name}`);
        const feeds = { x: f32(dims.x, normal('x', dims.x)), w: f32(dims.w, normal('w', dims.w)) };
        return { outputs: await run(op, feeds), transposed };
      };
      const narrow = await results(true);
      const plain = await results(false);
      expect(narrow.transposed).toBe(geometry.transposed);
      expect(Object.keys(narrow.outputs).sort()).toEqual(['grad/w', 'grad/x', 'output']);
      for (const [name, t] of Object.entries(plain.outputs))
        expect(distance(narrow.outputs[name]!, t), name).toBeLessThan(1e-6);
    });
  }
});
