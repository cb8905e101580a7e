import { describe, expect, test, vi } from 'vitest';
import { addGradients } from '#models/autodiff/grad.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { chooseProvider, trustProvider } from '#models/runtime/choose-provider.ts';
import type { TrialGraph } from '#models/runtime/graph-trial.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { webgpuHere } from '#test/support/webgpu.ts';

// A device in software compiles and runs a hundred times slower than a graphics card.
vi.setConfig({ testTimeout: 240_000 });
const usable = await webgpuHere();

/** A convolution, attention of one head and a squared error, with the gradients of all weights. */
function trainingGraph(): TrialGraph {
  const op = createBuilder();
  const x = op.input('x', 'float32', [1, 2, 4, 4]);
  const weights = {
    kernel: op.input('kernel', 'float32', [8, 2, 3, 3]),
    query: op.input('query', 'float32', [8, 8]),
    key: op.input('key', 'float32', [8, 8]),
  };
  const y = op.conv(x, weights.kernel, null, { pads: [1, 1, 1, 1] });
  const t = op.transpose(op.reshape(y, [1, 8, 16]), [0, 2, 1]);
  const scores = op.matmul(op.matmul(t, weights.query), op.transposeLast(op.matmul(t, weights.key)));
  const out = op.matmul(op.softmax(scores), t);
  const loss = op.reduceMeanAll(op.mul(out, out));
  op.output(loss, 'loss');
  const grads = addGradients(op, [{ value: loss, cotangent: op.scalar(1) }], Object.values(weights));
  for (const [name, g] of grads) op.output(g!, `grad/${name}`);
  const rng = new Rng(3);
  const feeds: Record<string, Tensor> = {};
  for (const { name, dims } of op.inputs) {
    feeds[name] = f32(
      dims,
      rng
        .fork(name)
        .fillNormal(new Float32Array(numel(dims)))
        .map((v) => 0.5 * v),
    );
  }
  return { bytes: encodeModel(op.toModel('training')), feeds, training: true };
}

describe.runIf(usable)('WebGPU', () => {
  test('runs a training graph with the CPU’s gradients, leaving none of it to the CPU', async () => {
    const trial = await trustProvider('webgpu', trainingGraph(), { cacheFolder: null, timeoutMs: 200_000 });
    expect(trial).toMatchObject({ trusted: true, reason: '', leftToCpu: [] });
    // Sums in another order, and an exp that WGSL allows an error growing with its argument; a wrong kernel is off by 1.
    expect(trial.agreement).toBeLessThan(1e-3);
    expect(trial.agreement).toBeGreaterThan(0);
  });

  test('an operator that it lacks is left to the CPU, and named', async () => {
    const op = createBuilder();
    const x = op.input('x', 'float32', [4, 4]);
    op.output(op.apply('Hardmax', [op.mul(x, x)]), 'y');
    const values = new Rng(5).fillNormal(new Float32Array(16));
    const graph = { bytes: encodeModel(op.toModel('hardmax')), feeds: { x: f32([4, 4], values) } };
    const choice = await chooseProvider('webgpu', graph, { cacheFolder: null });
    expect(choice.trials[0]!.leftToCpu).toEqual([{ opType: 'Hardmax', count: 1, nodes: ['Hardmax'] }]);
  });
});
