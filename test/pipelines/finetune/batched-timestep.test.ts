import { expect, test } from 'vitest';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { f32, i64, zeros } from '#models/tensor/tensor.ts';
import { batchedTimestep } from '#pipelines/finetune/batched-timestep.ts';
import { tinyDenoiser } from '#test/models/families/tiny-graphs.ts';

const network = (scalar: boolean) =>
  tinyDenoiser({ sample: 'sample', dims: [2, 2, 2], timestep: { dtype: 'int64', scalar }, inputs: [] });

/** The network with a timestep of its own for each of three rows of zeros, as a graph of its own. */
function threeRows(scalar: boolean) {
  const model = network(scalar);
  const op = createBuilder();
  const rows = op.input('timesteps', 'int64', [3]);
  const times = batchedTimestep(op, model.graph.inputs.find((i) => i.name === 'timestep')!, rows);
  const net = importGraph(op, model, {
    inputs: { sample: [3, 2, 2, 2], timestep: times.given },
    ...(times.rewrite ? { rewrite: times.rewrite } : {}),
  });
  times.check();
  op.output(net.outputs.get('out_sample')!, 'y');
  return op.toModel('rows');
}

test.each([true, false])('every row gets its own timestep (one number for all in the file: %s)', async (scalar) => {
  const timesteps = [900, 20, 451];
  const session = await createSession(encodeModel(threeRows(scalar)), { threads: 1 });
  const { y } = await session.run({ sample: zeros('float32', [3, 2, 2, 2]), timesteps: i64([3], timesteps) });
  await session.release();
  const alone = await createSession(encodeModel(network(scalar)), { threads: 1 });
  for (const [row, t] of timesteps.entries()) {
    const feeds = { sample: f32([1, 2, 2, 2], new Float32Array(8)), timestep: i64(scalar ? [] : [1], [t]) };
    const { out_sample: wanted } = await alone.run(feeds);
    const got = (y!.data as Float32Array).slice(8 * row, 8 * row + 8);
    for (const [i, v] of got.entries()) expect(v).toBeCloseTo((wanted!.data as Float32Array)[i]!, 6);
  }
  await alone.release();
});

test('a network that does not expand its timestep to the batch is refused by name', () => {
  const op = createBuilder();
  const rows = op.input('timesteps', 'float32', [3]);
  const times = batchedTimestep(op, { name: 'timestep', dtype: 'float32', dims: [] }, rows);
  op.sub(times.given, op.scalar(1));
  expect(() => times.check()).toThrow(
    expect.objectContaining({ code: 'tune/one-timestep', hint: expect.stringMatching(/timestep per sample/) }),
  );
});
