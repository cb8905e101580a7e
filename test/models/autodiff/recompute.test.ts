import { describe, expect, test } from 'vitest';
import { addGradients } from '#models/autodiff/grad.ts';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { recomputeCheap } from '#models/autodiff/recompute.ts';
import type { GraphBuilder, TypedShape, Value } from '#models/onnx/builder.ts';
import { checkModel } from '#models/onnx/check.ts';
import type { Model, Node } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor, toBytes } from '#models/tensor/tensor.ts';
import { estimateRun } from '#models/training/estimate.ts';
import { gradientFixtures, loadGradientFixture } from '#test/support/gradients.ts';

interface Differentiated {
  readonly model: Model;
  readonly forward: ReadonlySet<Node>;
  readonly types: ReadonlyMap<string, TypedShape>;
}

function differentiate(op: GraphBuilder, outputs: readonly Value[], weights: readonly Value[]): Differentiated {
  const parts = outputs.map((v, i) => op.reduceSumAll(op.mul(v, op.input(`cotangent/${i}`, 'float32', v.dims))));
  const loss = parts.reduce((a, b) => op.add2(a, b));
  const forward = new Set(op.nodes);
  const grads = addGradients(op, [{ value: loss, cotangent: op.scalar(1) }], weights);
  op.output(loss, 'loss');
  for (const w of weights) if (grads.get(w.name)) op.output(grads.get(w.name)!, `grad/${w.name}`);
  return { model: op.toModel('flat'), forward, types: op.values };
}

// Unoptimised, so that the runtime merges no nodes in one form of the graph that it leaves apart in the other.
async function run(model: Model, feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> {
  checkModel(model);
  const session = await createSession(encodeModel(model), { training: true, threads: 1, optimization: 'disabled' });
  const out = await session.run(feeds);
  await session.release();
  return out;
}

const differing = (a: Record<string, Tensor>, b: Record<string, Tensor>) =>
  Object.keys(b).filter((name) => !a[name] || Buffer.compare(toBytes(a[name]), toBytes(b[name]!)) !== 0);

const made = (m: Model, opType: string) => m.graph.nodes.filter((n) => n.opType === opType).length;
const again = (m: Model) => m.graph.nodes.filter((n) => n.name.startsWith('again/'));

describe('gradients with cheap values made again', () => {
  for (const entry of new Map(gradientFixtures().map((e) => [e.folder, e])).values()) {
    test(`${entry.title}: are those without, bit for bit`, async () => {
      const fixture = loadGradientFixture(entry);
      const model = readModel(fixture.modelPath);
      const op = createBuilder();
      const floats = [...model.graph.initializers].filter(([, t]) => t.dtype === 'float32' && t.dims.length > 0);
      const trained = new Set(floats.map(([name]) => name));
      const net = importGraph(op, model, {
        inputs: Object.fromEntries([...fixture.inputs].map(([name, t]) => [name, t.dims])),
        role: (name) => (trained.has(name) ? 'opaque' : 'frozen'),
      });
      const outputs = [...net.outputs].filter(([, v]) => v.dtype === 'float32');
      const given = differentiate(
        op,
        outputs.map(([, v]) => v),
        [...trained].map((name) => net.weights.get(name)!),
      );
      const feeds = Object.fromEntries(fixture.inputs);
      outputs.forEach(([name], i) => {
        feeds[`cotangent/${i}`] = fixture.cotangents.get(name)!;
      });
      const model2 = recomputeCheap(given);
      expect(differing(await run(model2, feeds), await run(given.model, feeds))).toEqual([]);
    }, 180_000);
  }
});

const [ROWS, WIDTH, LAYERS] = [256, 128, 12];
const ROW_BYTES = 4 * ROWS * WIDTH;

/** x ← SiLU(γ·x + β)·W, layer by layer: of each the backward pass reads x, γ·x + β and its SiLU. */
function layers(): Differentiated & { readonly feeds: Record<string, Tensor> } {
  const op = createBuilder();
  const rng = new Rng(4);
  const normal = (name: string, dims: readonly number[], scale = 1) =>
    f32(
      dims,
      rng
        .fork(name)
        .fillNormal(new Float32Array(numel(dims)))
        .map((v) => v * scale),
    );
  const feeds: Record<string, Tensor> = { x: normal('x', [ROWS, WIDTH]), 'cotangent/0': normal('c', [ROWS, WIDTH]) };
  const trained: Value[] = [];
  const weight = (name: string, dims: readonly number[], scale: number) => {
    feeds[name] = normal(name, dims, scale);
    const v = op.input(name, 'float32', dims);
    trained.push(v);
    return v;
  };
  let x = op.input('x', 'float32', [ROWS, WIDTH]);
  for (let i = 0; i < LAYERS; i++) {
    const z = op.add2(op.mul(x, weight(`scale${i}`, [WIDTH], 1)), weight(`bias${i}`, [WIDTH], 1));
    x = op.matmul(op.mul(z, op.sigmoid(z)), weight(`w${i}`, [WIDTH, WIDTH], 0.1));
  }
  return { ...differentiate(op, [x], trained), feeds };
}

const RATES = { productFlops: 1e9, convFlops: 1e9, memoryBytes: 1e9, cacheBytes: 1e9, softmaxElements: 1e9 };

describe('what is made again', () => {
  const given = layers();
  const cheap = recomputeCheap(given);

  test('gives the same gradients, bit for bit, with everything the runtime optimises left apart', async () => {
    const { feeds } = given;
    expect(differing(await run(cheap, feeds), await run(given.model, feeds))).toEqual([]);
  });

  test('is not kept: one value of a layer is, where three were', () => {
    const peak = (m: Model) => estimateRun(m, given.types, { ...RATES, nodeSeconds: 0 }).activationBytes;
    expect(peak(given.model)).toBeGreaterThan(3 * (LAYERS - 1) * ROW_BYTES);
    expect(peak(cheap)).toBeLessThan((LAYERS + 7) * ROW_BYTES);
  });

  test('is no product', () => {
    expect(made(cheap, 'MatMul')).toBe(made(given.model, 'MatMul'));
  });

  test('is made once, for the gradient rules that make it again too', () => {
    // The rule of SiLU has a Sigmoid of its own, which the values made again share.
    expect(made(given.model, 'Sigmoid')).toBe(2 * LAYERS);
    expect(made(cheap, 'Sigmoid')).toBe(2 * LAYERS);
    expect(again(cheap).map((n) => n.opType)).toEqual(
      Array.from({ length: LAYERS }, () => ['Mul', 'Add', 'Sigmoid', 'Mul']).flat(),
    );
  });

  test('comes before the backward pass in the file, so that the runtime runs it last', () => {
    const { nodes } = cheap.graph;
    const first = nodes.findIndex((n) => n.name.startsWith('again/'));
    const last = nodes.findLastIndex((n) => n.name.startsWith('again/'));
    expect(nodes.slice(0, first).every((n) => given.forward.has(n))).toBe(true);
    expect(nodes.slice(first, last + 1)).toHaveLength(again(cheap).length);
  });
});

test('a value that leaves the graph is kept', () => {
  const op = createBuilder();
  const [x, w] = [op.input('x', 'float32', [256, 128]), op.input('w', 'float32', [128, 128])];
  const h = op.mul(x, x);
  op.output(h, 'h');
  const { model, ...rest } = differentiate(op, [op.matmul(h, w)], [w]);
  expect(again(recomputeCheap({ model, ...rest }))).toEqual([]);
});
