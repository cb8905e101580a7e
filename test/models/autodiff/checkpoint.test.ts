import { describe, expect, test } from 'vitest';
import { checkpoint } from '#models/autodiff/checkpoint.ts';
import { addGradients } from '#models/autodiff/grad.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { checkModel } from '#models/onnx/check.ts';
import type { Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor, toBytes } from '#models/tensor/tensor.ts';
import { type FixtureEntry, gradientFixtures, loadGradientFixture } from '#test/support/gradients.ts';

interface Differentiated {
  readonly flat: Model;
  readonly checkpointed: (segments: number, keepAbove?: number) => Model;
}

/** Σ outputs ⊙ cotangents of a model, and its gradient in every floating weight. */
function differentiate(model: Model, inputDims: Record<string, readonly number[]>): Differentiated {
  const op = createBuilder();
  const trained = [...model.graph.initializers]
    .filter(([, t]) => t.dtype === 'float32' && t.dims.length > 0)
    .map(([n]) => n);
  const net = importGraph(op, model, {
    inputs: inputDims,
    role: (name) => (trained.includes(name) ? 'opaque' : 'frozen'),
  });
  const parts = [...net.outputs]
    .filter(([, v]) => v.dtype === 'float32')
    .map(([name, v]) => op.reduceSumAll(op.mul(v, op.input(`cotangent/${name}`, 'float32', v.dims))));
  const loss = parts.reduce((a, b) => op.add2(a, b));
  const forward = new Set(op.nodes);
  const weights = trained.map((name) => net.weights.get(name)!);
  const grads = addGradients(op, [{ value: loss, cotangent: op.scalar(1) }], weights);
  op.output(loss, 'loss');
  for (const w of weights) if (grads.get(w.name)) op.output(grads.get(w.name)!, `grad/${w.name}`);
  const flat = op.toModel('flat');
  const given = { model: flat, forward, types: op.values };
  return {
    flat,
    checkpointed: (segments, keepAbove) =>
      checkpoint(given, { segments, after: loss.name, ...(keepAbove === undefined ? {} : { keepAbove }) }),
  };
}

/** Names of results whose bytes differ. */
const differing = (a: Record<string, Tensor>, b: Record<string, Tensor>) =>
  Object.keys(b).filter((name) => !a[name] || Buffer.compare(toBytes(a[name]), toBytes(b[name]!)) !== 0);

// Unoptimised, so that the runtime merges no nodes in one form of the graph that it leaves apart in the other.
async function run(model: Model, feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> {
  checkModel(model);
  const session = await createSession(encodeModel(model), { training: true, threads: 1, optimization: 'disabled' });
  const out = await session.run(feeds);
  await session.release();
  return out;
}

const branches = (m: Model) => m.graph.nodes.filter((n) => n.opType === 'If');

/** The newest file of each exported network: older ones differ in forms that are gone after import. */
function networks(): FixtureEntry[] {
  return [...new Map(gradientFixtures().map((e) => [e.folder, e])).values()];
}

describe('gradients with activation checkpointing', () => {
  for (const entry of networks()) {
    test(`${entry.title}: are those without, bit for bit`, async () => {
      const fixture = loadGradientFixture(entry);
      const dims = Object.fromEntries([...fixture.inputs].map(([name, t]) => [name, t.dims]));
      const { flat, checkpointed } = differentiate(readModel(fixture.modelPath), dims);
      const feeds = Object.fromEntries(fixture.inputs);
      for (const [name, t] of fixture.cotangents) feeds[`cotangent/${name}`] = t;
      const expected = await run(flat, feeds);
      const model = checkpointed(5, Number.POSITIVE_INFINITY);
      expect(branches(model).length).toBeGreaterThan(1);
      const actual = await run(model, feeds);
      expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
      expect(differing(actual, expected)).toEqual([]);
    }, 180_000);
  }
});

/** y = tanh(W·…tanh(W·x)): as deep as wanted, every activation needed by the backward pass. */
function deep(layers: number): { model: Model; feeds: Record<string, Tensor> } {
  const op = createBuilder();
  const [rows, width] = [64, 128];
  let x = op.input('x', 'float32', [rows, width]);
  const rng = new Rng(4);
  const normal = (name: string, dims: readonly number[], scale: number) =>
    f32(
      dims,
      rng
        .fork(name)
        .fillNormal(new Float32Array(numel(dims)))
        .map((v) => v * scale),
    );
  for (let i = 0; i < layers; i++) {
    const w = op.initializer(`w${i}`, normal(`w${i}`, [width, width], 1.2 / Math.sqrt(width)));
    x = op.tanh(op.matmul(x, w));
  }
  op.output(x, 'y');
  return {
    model: op.toModel('deep'),
    feeds: { x: normal('x', [rows, width], 1), 'cotangent/y': normal('c', [rows, width], 1) },
  };
}

describe('what is computed again', () => {
  const { model, feeds } = deep(12);
  const { flat, checkpointed } = differentiate(model, { x: [64, 128] });
  const count = (m: Model, opType: string): number =>
    m.graph.nodes.reduce((sum, n) => {
      const branch = n.attributes.get('then_branch');
      const inside = branch?.kind === 'graph' ? branch.value.nodes.filter((x) => x.opType === opType).length : 0;
      return sum + inside + (n.opType === opType ? 1 : 0);
    }, 0);

  test('bit for bit the same, at any number of segments', async () => {
    const expected = await run(flat, feeds);
    for (const segments of [1, 2, 3, 12, 100]) {
      const actual = await run(checkpointed(segments, Number.POSITIVE_INFINITY), feeds);
      expect(differing(actual, expected)).toEqual([]);
    }
  });

  test('the last segment is not, the others once', () => {
    expect(count(checkpointed(1, Number.POSITIVE_INFINITY), 'Tanh')).toBe(12);
    const again = count(checkpointed(3, Number.POSITIVE_INFINITY), 'Tanh') - 12;
    // Values at the two cuts are kept.
    expect(again).toBeGreaterThanOrEqual(5);
    expect(again).toBeLessThanOrEqual(8);
  });

  test('results of dear products are kept when asked for', () => {
    // 2·128 operations for 4 bytes.
    const products = count(flat, 'MatMul');
    expect(count(checkpointed(3, 50), 'MatMul')).toBe(products);
    expect(count(checkpointed(3, 70), 'MatMul')).toBeGreaterThan(products);
  });

  test('the condition is not known before the run, so that nothing is folded', () => {
    const m = checkpointed(3);
    const condition = branches(m)[0]!.inputs[0];
    const known = new Set(m.graph.initializers.keys());
    for (const n of m.graph.nodes) if (n.inputs.every((i) => known.has(i))) for (const o of n.outputs) known.add(o);
    expect(known.has(condition!)).toBe(false);
  });

  test('a loss that is not a number gives gradients that are not numbers', async () => {
    const broken = { ...feeds, x: f32([64, 128], new Float32Array(64 * 128).fill(Number.NaN)) };
    const out = await run(checkpointed(3), broken);
    expect((out['grad/w0']!.data as Float32Array).every(Number.isNaN)).toBe(true);
  });
});

test('a weight widened from 16 bits is widened again where it is read, not kept', async () => {
  const op = createBuilder();
  const x = op.input('x', 'float32', [4, 8]);
  const half = op.initializer('w', { dtype: 'float16', dims: [8, 8], data: new Uint16Array(64).fill(0x3400) });
  const w = op.cast(half, 'float32');
  const a = op.input('a', 'float32', [8]);
  const loss = op.reduceSumAll(op.tanh(op.matmul(op.mul(x, a), w)));
  const forward = new Set(op.nodes);
  const g = addGradients(op, [{ value: loss, cotangent: op.scalar(1) }], [a]);
  op.output(loss, 'loss');
  op.output(g.get('a')!, 'grad/a');
  const flat = op.toModel('half');
  const model = checkpoint({ model: flat, forward, types: op.values }, { segments: 1, after: loss.name });
  const branch = branches(model)[0]!.attributes.get('then_branch');
  expect(branch?.kind === 'graph' && branch.value.nodes.some((n) => n.opType === 'Cast')).toBe(true);
  const feeds = {
    x: f32([4, 8], new Float32Array(32).fill(0.3)),
    a: f32(
      [8],
      [1, 2, 3, 4, 5, 6, 7, 8].map((v) => v / 9),
    ),
  };
  const [expected, actual] = [await run(flat, feeds), await run(model, feeds)];
  expect(differing(actual, expected)).toEqual([]);
});
