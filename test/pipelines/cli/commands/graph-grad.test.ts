import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isExternal, type Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { writeModel } from '#models/onnx/write.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, i64, type Tensor } from '#models/tensor/tensor.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-grad-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

/** y = x·W + b, with an unused weight: dL/dW = xᵀ·ct, dL/db = Σ rows of ct, dL/dx = ct·Wᵀ. */
function linear(opType = 'Add'): Model {
  return {
    irVersion: 8,
    producerName: 'test',
    opsets: new Map([['', 17]]),
    metadata: new Map(),
    graph: {
      name: 'linear',
      nodes: [
        { opType: 'MatMul', domain: '', name: 'product', inputs: ['x', 'W'], outputs: ['xW'], attributes: new Map() },
        { opType, domain: '', name: 'sum', inputs: ['xW', 'b'], outputs: ['y'], attributes: new Map() },
      ],
      inputs: [{ name: 'x', dtype: 'float32', dims: ['batch', 2] }],
      outputs: [{ name: 'y', dtype: 'float32', dims: ['batch', 3] }],
      initializers: new Map<string, Tensor>([
        ['W', f32([2, 3], [1, 2, 3, 4, 5, 6])],
        ['b', f32([3], [0.5, 0.25, 0.125])],
        ['unused', f32([2], [7, 8])],
      ]),
      valueInfo: new Map(),
    },
  };
}

beforeAll(() => {
  writeModel(linear(), at('linear.onnx'));
  writeModel(linear('NoSuchOperator'), at('unknown.onnx'));
  writeSafetensors(at('in.safetensors'), new Map([['x', f32([2, 2], [1, -1, 2, 3])]]));
  writeSafetensors(at('ct.safetensors'), new Map([['y', f32([2, 3], [1, 0, 2, -1, 1, 0.5])]]));
});

const grad = (...args: string[]) =>
  runCli(
    'graph',
    'grad',
    at('linear.onnx'),
    '--inputs',
    at('in.safetensors'),
    '--cotangents',
    at('ct.safetensors'),
    '--out',
    at('out.safetensors'),
    '--json',
    ...args,
  );

describe('graph grad', () => {
  test('writes the gradients of a linear layer as calculus gives them, in the shapes of what they differentiate', async () => {
    const run = await grad('--wrt', 'W,b,x');
    expect([run.code, run.err]).toEqual([0, '']);
    const { tensors } = readSafetensors(at('out.safetensors'));
    // By hand: xᵀ·ct, column sums of ct, ct·Wᵀ.
    expect(tensors.get('W')).toEqual(f32([2, 3], [-1, 2, 3, -4, 3, -0.5]));
    expect(tensors.get('b')).toEqual(f32([3], [0, 1, 2.5]));
    expect(tensors.get('x')).toEqual(f32([2, 2], [7, 16, 2.5, 4]));
    expect(run.result()).toMatchObject({ type: 'result', wrt: ['W', 'b', 'x'], noPath: [] });
  });

  test('a name with no path gets zeros and is listed', async () => {
    const run = await grad('--wrt', 'unused,b');
    expect(run.result()).toMatchObject({ noPath: ['unused'] });
    expect(readSafetensors(at('out.safetensors')).tensors.get('unused')).toEqual(f32([2], [0, 0]));
  });

  test('"all" means every float initialiser with a path and every float input', async () => {
    const run = await grad('--wrt', 'all');
    expect(run.code).toBe(0);
    expect([...readSafetensors(at('out.safetensors')).tensors.keys()].sort()).toEqual(['W', 'b', 'x']);
  });

  test('--save-graph writes a graph that takes the cotangent and gives the gradients', async () => {
    await grad('--wrt', 'W', '--save-graph', at('train.onnx'));
    const { graph } = readModel(at('train.onnx'));
    expect(graph.inputs.map((v) => v.name)).toContain('cotangent/y');
    expect(graph.outputs.map((v) => v.name)).toContain('grad/W');
  });

  test.each([
    ['a name that is not there', { wrt: 'V' }, /no initialiser or input "V"/],
    ['an input that is missing', { inputs: new Map() }, /lacks "x"/],
    [
      'an input too many',
      {
        inputs: new Map([
          ['x', f32([1, 2], [1, 2])],
          ['z', f32([1], [1])],
        ]),
      },
      /holds "z"/,
    ],
    ['an input of another type', { inputs: new Map([['x', i64([1, 2], [1, 2])]]) }, /"x" .* is float32, but .* int64/],
    ['a cotangent of no output', { cotangents: new Map([['w', f32([1], [1])]]) }, /holds "w", which is no output/],
    ['no cotangent at all', { cotangents: new Map() }, /lacks "y"/],
  ] as [string, { wrt?: string; inputs?: Map<string, Tensor>; cotangents?: Map<string, Tensor> }, RegExp][])(
    '%s is bad input, and nothing is written',
    async (_title, change, message) => {
      writeSafetensors(at('in2.safetensors'), change.inputs ?? new Map([['x', f32([1, 2], [1, 2])]]));
      writeSafetensors(at('ct2.safetensors'), change.cotangents ?? new Map([['y', f32([1, 3], [1, 1, 1])]]));
      const run = await runCli(
        'graph',
        'grad',
        at('linear.onnx'),
        '--inputs',
        at('in2.safetensors'),
        '--cotangents',
        at('ct2.safetensors'),
        '--out',
        at('never.safetensors'),
        '--wrt',
        change.wrt ?? 'W',
      );
      expect(run.err).toMatch(message);
      expect(run.code).toBe(2);
      expect(() => readSafetensors(at('never.safetensors'))).toThrow();
    },
  );

  test('an operator without a rule is an error that names node and operator', async () => {
    const run = await runCli(
      'graph',
      'grad',
      at('unknown.onnx'),
      '--inputs',
      at('in.safetensors'),
      '--cotangents',
      at('ct.safetensors'),
      '--out',
      at('never.safetensors'),
      '--wrt',
      'W',
    );
    expect(run.code).toBe(2);
    expect(run.err).toMatch(/NoSuchOperator/);
    expect(run.err).toMatch(/sum/);
    expect(run.err).toContain('on the path NoSuchOperator "sum" → output "y"');
  });
});

describe('weights beside the graph', () => {
  const save = (path: string) =>
    runCli(
      ...['graph', 'grad', at('beside.onnx'), '--inputs', at('in.safetensors'), '--cotangents', at('ct.safetensors')],
      ...['--wrt', 'W', '--out', at('out.safetensors'), '--save-graph', path],
    );

  test('are referred to by the gradient graph, also from another folder of the disk, and never copied', async () => {
    writeModel(linear(), at('beside.onnx'), { external: { location: 'beside.data', minBytes: 1 } });
    mkdirSync(at('elsewhere'));
    for (const path of [at('beside-grad.onnx'), at('elsewhere/grad.onnx')]) {
      expect((await save(path)).err).toBe('');
      const saved = readModel(path).graph.initializers;
      expect([...saved.values()].map((w) => isExternal(w) && w.external.location)).toContain('beside.data');
    }
    expect(statSync(at('elsewhere/beside.data')).ino).toBe(statSync(at('beside.data')).ino);
  });

  test('are not mistaken for another file of the same name', async () => {
    mkdirSync(at('taken'));
    writeFileSync(at('taken/beside.data'), 'something else');
    const run = await save(at('taken/grad.onnx'));
    expect(run.err).toMatch(/beside\.data cannot be referred to from .*taken.* Write the graph beside its model/);
    expect(run.code).toBe(2);
    expect(existsSync(at('taken/grad.onnx'))).toBe(false);
  });
});

describe('graph inspect', () => {
  test('counts operators and parameters and says what has no gradient rule', async () => {
    const good = await runCli('graph', 'inspect', at('linear.onnx'), '--json');
    expect(good.result()).toMatchObject({ nodes: 2, parameters: 11, missing: [], opsets: { 'ai.onnx': 17 } });
    const bad = await runCli('graph', 'inspect', at('unknown.onnx'));
    expect(bad.code).toBe(0);
    expect(bad.out).toContain('No gradient rule: NoSuchOperator');
  });
});
