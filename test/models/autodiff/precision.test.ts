import { describe, expect, test } from 'vitest';
import { addGradients } from '#models/autodiff/grad.ts';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { type Compute, widenNode } from '#models/autodiff/precision.ts';
import { DATA_TYPE } from '#models/onnx/data-types.ts';
import { type Graph, type Initializer, int, type Model, type Node } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { type HalfType, isHalf, toFloat32, toHalf } from '#models/tensor/half.ts';
import { Rng } from '#models/tensor/rng.ts';
import { type DType, f32, fromNumbers, isFloat, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { type FixtureEntry, gradientFixtures, loadGradientFixture, wrongGradients } from '#test/support/gradients.ts';
import { short, toHalfModel } from '#test/support/half-model.ts';

const networks = gradientFixtures().filter((entry) => entry.short);

/** All gradients of a 16-bit form of a fixture, against float64 autograd of the same rounded weights. */
async function wrongIn16Bits(
  entry: FixtureEntry,
  form: { dtype: HalfType; ports: 'half' | 'float32'; compute: Compute; scale: number; tolerance: number },
): Promise<string[]> {
  const fixture = loadGradientFixture(entry, 'short');
  const model = toHalfModel(readModel(fixture.modelPath), form.dtype, form.ports);
  const weights = [...model.graph.initializers].filter(([name, t]) => isHalf(t.dtype) && fixture.has(name));
  const inputs = [...fixture.inputs].filter(([, t]) => t.dtype === 'float32');
  const wrt = [...weights, ...inputs].map(([name]) => name);
  const inputDims = Object.fromEntries([...fixture.inputs].map(([name, t]) => [name, t.dims]));
  const gradient = gradientModel(model, { inputDims, wrt, compute: form.compute });
  expect(gradient.noPath).toEqual([]);

  const session = await createSession(encodeModel(gradient.model));
  const feeds: Record<string, Tensor> = {};
  const feed = (name: string, t: Tensor, scale: number) => {
    const port = session.inputs.find((p) => p.name === name)!;
    const scaled =
      t.dtype === 'float32'
        ? f32(
            t.dims,
            (short(t) as Tensor<'float32'>).data.map((v) => v * scale),
          )
        : t;
    feeds[name] = isHalf(port.dtype) ? toHalf(scaled, port.dtype) : scaled;
  };
  for (const [name, t] of fixture.inputs) feed(name, t, 1);
  for (const [name, t] of fixture.cotangents) feed(`cotangent/${name}`, t, form.scale);
  const results = await session.run(feeds);
  await session.release();

  const actual = new Map<string, Tensor>();
  for (const name of wrt) {
    const g = results[`grad/${name}`]!;
    if (weights.some(([w]) => w === name)) expect(g.dtype).toBe('float32');
    actual.set(
      name,
      f32(
        g.dims,
        toFloat32(g).data.map((v) => v / form.scale),
      ),
    );
  }
  const reference = new Map(wrt.map((name) => [name, fixture.gradient(name)]));
  return wrongGradients(actual, reference, form.tolerance, 1e-3);
}

describe('gradients of float16 networks', () => {
  for (const entry of networks) {
    test(`${entry.folder} computed in float32: 5e-3`, async () => {
      const form = { dtype: 'float16', ports: 'half', compute: 'float32', scale: 1, tolerance: 5e-3 } as const;
      expect(await wrongIn16Bits(entry, form)).toEqual([]);
    });
    test(`${entry.folder} computed in float16 with a loss scale: 2e-2`, async () => {
      const form = { dtype: 'float16', ports: 'float32', compute: 'stored', scale: 64, tolerance: 2e-2 } as const;
      expect(await wrongIn16Bits(entry, form)).toEqual([]);
    });
  }
});

// On import the two types differ in nothing but how a number is read: three networks are enough.
const few = networks.filter((entry) => ['cnn', 'dna', 't5'].includes(entry.folder));

describe('gradients of bfloat16 networks', () => {
  for (const entry of few) {
    test(`${entry.folder} computed in float32: 2e-2`, async () => {
      const form = { dtype: 'bfloat16', ports: 'half', compute: 'float32', scale: 1, tolerance: 2e-2 } as const;
      expect(await wrongIn16Bits(entry, form)).toEqual([]);
    });
  }
});

/** y = x·w with an input, a weight and an output of the given types, casts between. */
function product(types: { port: DType; weight: DType }, w: Initializer): Model {
  const info = (name: string, dims: number[]) => ({ name, dtype: types.port, dims });
  const cast = (input: string, output: string, to: DType): Node => ({
    opType: 'Cast',
    domain: '',
    name: output,
    inputs: [input],
    outputs: [output],
    attributes: new Map([['to', int(DATA_TYPE[to])]]),
  });
  const matmul: Node = {
    opType: 'MatMul',
    domain: '',
    name: 'product',
    inputs: ['x/in', 'w'],
    outputs: ['y/out'],
    attributes: new Map(),
  };
  return {
    irVersion: 10,
    producerName: 'test',
    opsets: new Map([['', 21]]),
    metadata: new Map(),
    graph: {
      name: 'product',
      nodes: [cast('x', 'x/in', types.weight), matmul, cast('y/out', 'y', types.port)],
      inputs: [info('x', [2, 3])],
      outputs: [info('y', [2, 2])],
      initializers: new Map([['w', w]]),
      valueInfo: new Map(),
    },
  };
}

const weight = f32([3, 2], [1, 2, 3, 4, 5, 6]);
const external = (dtype: DType): Initializer => ({
  dtype,
  dims: [3, 2],
  external: { location: 'nowhere.data', offset: 0, length: 12 },
});

describe('a 16-bit model on import', () => {
  for (const dtype of ['float16', 'bfloat16'] as const) {
    test(`${dtype} weights in a file of their own stay there, unread, with one Cast each`, () => {
      const op = createBuilder();
      const init = external(dtype);
      importGraph(op, product({ port: dtype, weight: dtype }, init), { inputs: {} });
      expect(op.initializers.get('w')).toBe(init);
      expect(op.nodes.filter((n) => n.inputs.includes('w')).map((n) => n.opType)).toEqual(['Cast']);
      const floats = [...op.values.values()].filter((v) => v.name !== 'w' && isFloat(v.dtype));
      expect(floats.map((v) => v.dtype)).toEqual(floats.map(() => 'float32'));
    });

    test(`trained ${dtype} weights are fed as float32, and no digit of them is lost when computing in float32`, () => {
      const op = createBuilder();
      const { weights } = importGraph(op, product({ port: dtype, weight: dtype }, external(dtype)), {
        inputs: {},
        role: () => 'input',
      });
      expect(weights.get('w')).toBe(op.inputs.find((v) => v.name === 'w'));
      expect(weights.get('w')!.dtype).toBe('float32');
      expect(op.nodes.find((n) => n.opType === 'MatMul')!.inputs).toContain('w');
    });
  }

  test('computed as stored, a trained weight is float32 outside and cast to float16 for the products', () => {
    const op = createBuilder();
    const { weights, outputs } = importGraph(op, product({ port: 'float16', weight: 'float16' }, external('float16')), {
      inputs: {},
      role: () => 'input',
      compute: 'stored',
    });
    expect(weights.get('w')!.dtype).toBe('float32');
    expect(outputs.get('y')!.dtype).toBe('float16');
    const matmul = op.nodes.find((n) => n.opType === 'MatMul')!;
    expect(matmul.inputs.map((name) => op.value(name).dtype)).toEqual(['float16', 'float16']);
  });

  test('a branch with float16 weights of its own is widened as a whole', () => {
    const branch: Graph = {
      ...product({ port: 'float16', weight: 'float16' }, toHalf(weight, 'float16')).graph,
      inputs: [],
    };
    const node: Node = {
      opType: 'If',
      domain: '',
      name: 'if',
      inputs: ['condition'],
      outputs: ['y'],
      attributes: new Map([['then_branch', { kind: 'graph' as const, value: branch }]]),
    };
    const wide = widenNode(node).attributes.get('then_branch')!.value as Graph;
    expect(wide.outputs[0]!.dtype).toBe('float32');
    expect(wide.nodes[0]).toMatchObject({ opType: 'Cast', inputs: ['w/stored'], outputs: ['w'] });
    expect(wide.nodes.slice(1).flatMap((n) => [...n.attributes.values()].map((a) => a.value))).toEqual([1, 1]);
  });

  for (const port of ['float16', 'float32'] as const) {
    for (const inner of ['float16', 'float32'] as const) {
      for (const compute of ['stored', 'float32'] as const) {
        test(`${port} outside, ${inner} inside, computed in ${compute} type: the gradients of a product`, async () => {
          const w = inner === 'float16' ? toHalf(weight, 'float16') : weight;
          const gradient = gradientModel(product({ port, weight: inner }, w), {
            inputDims: {},
            wrt: ['w', 'x'],
            compute,
          });
          const session = await createSession(encodeModel(gradient.model));
          const outside = compute === 'stored' ? port : 'float32';
          const fed = (t: Tensor<'float32'>) => (outside === 'float16' ? toHalf(t, 'float16') : t);
          const out = await session.run({
            x: fed(f32([2, 3], [1, -2, 0.5, 0, 4, -1])),
            'cotangent/y': fed(f32([2, 2], [1, 2, -1, 0.5])),
          });
          await session.release();
          expect(out['grad/w']!.dtype).toBe('float32');
          expect(out['grad/x']!.dtype).toBe(outside);
          expect(toNumbers(out.y!)).toEqual([-2.5, -3, 7, 10]);
          expect(toNumbers(out['grad/w']!)).toEqual([1, 2, -6, -2, 1.5, 0.5]);
          expect(toNumbers(out['grad/x']!)).toEqual([5, 11, 17, 0, -1, -2]);
        });
      }
    }
  }
});

describe('sums of float16 numbers', () => {
  test('are taken in float32: the gradient of a bias that is added in 20 000 places', async () => {
    const op = createBuilder();
    const x = op.input('x', 'float16', [20000, 1]);
    const b = op.input('b', 'float16', [1]);
    const y = op.add2(x, b);
    const dy = op.input('dy', 'float16', y.dims);
    const g = addGradients(op, [{ value: y, cotangent: dy }], [b]).get('b')!;
    op.output(g, 'g');
    for (const node of op.nodes.filter((n) => n.opType === 'ReduceSum')) {
      expect(op.value(node.inputs[0]!).dtype).toBe('float32');
    }
    const session = await createSession(encodeModel(op.toModel('bias')));
    const tenth = toHalf(f32([20000, 1], new Float32Array(20000).fill(0.1)), 'float16');
    const out = await session.run({ x: tenth, b: toHalf(f32([1], [0]), 'float16'), dy: tenth });
    await session.release();
    // Added one by one in float16, the sum would stop growing at 256.
    expect(Math.abs(toNumbers(out.g!)[0]! / (20000 * toNumbers(tenth)[0]!) - 1)).toBeLessThan(2 ** -11);
  });

  test('do not overflow inside the gradient of a norm over long rows', async () => {
    const length = 4096;
    const x = new Rng(3).fork('x').fillNormal(new Float32Array(length));
    const dy = x.map((v) => 2000 * Math.sign(v));
    const gradients: number[][] = [];
    for (const dtype of ['float16', 'float32'] as const) {
      const op = createBuilder();
      const v = op.input('x', dtype, [1, 1, length]);
      const one = op.constant(fromNumbers(dtype, [1], [1]));
      const zero = op.constant(fromNumbers(dtype, [1], [0]));
      const imported = importGraph(op, instanceNorm(dtype), { inputs: { x: v, one, zero }, compute: 'stored' });
      const cotangent = op.input('dy', dtype, v.dims);
      const g = addGradients(op, [{ value: imported.outputs.get('y')!, cotangent }], [v]).get('x')!;
      op.output(g, 'g');
      const session = await createSession(encodeModel(op.toModel('norm')));
      const feed = (data: Float32Array) => {
        const t = toHalf(f32(v.dims, data), 'float16');
        return dtype === 'float16' ? t : toFloat32(t);
      };
      gradients.push(toNumbers((await session.run({ x: feed(x), dy: feed(dy) })).g!));
      await session.release();
    }
    const [half, single] = gradients as [number[], number[]];
    const difference = Math.hypot(...half.map((v, i) => v - single[i]!));
    // Σ dy ⊙ x̂ is 6.5 million, a hundred times what float16 holds.
    expect(difference / Math.hypot(...single)).toBeLessThan(2e-3);
  });
});

function instanceNorm(dtype: DType): Model {
  const info = (name: string, dims: number[]) => ({ name, dtype, dims });
  const node: Node = {
    opType: 'InstanceNormalization',
    domain: '',
    name: 'norm',
    inputs: ['x', 'one', 'zero'],
    outputs: ['y'],
    attributes: new Map(),
  };
  return {
    ...product({ port: dtype, weight: dtype }, weight),
    graph: {
      name: 'norm',
      nodes: [node],
      inputs: [info('x', [1, 1, 4096]), info('one', [1]), info('zero', [1])],
      outputs: [info('y', [1, 1, 4096])],
      initializers: new Map(),
      valueInfo: new Map(),
    },
  };
}
