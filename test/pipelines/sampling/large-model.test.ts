import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { int, type Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { i64 } from '#models/tensor/tensor.ts';
import { generatePictures } from '#pipelines/sampling/generate.ts';
import { loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-large-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const ROWS = 2 ** 21;
const WIDTH = 64;
/** Half a gigabyte of weights, a hole on disk. */
const BYTES = ROWS * WIDTH * 4;

/** The model with a table beside it, one row of which is added to the picture's average. */
function withTable(model: Model): Model {
  const [output] = model.graph.outputs;
  const inner = `${output!.name}/plain`;
  const node = (opType: string, inputs: string[], outputs: string[], axis?: number) => ({
    opType,
    domain: '',
    name: outputs[0]!,
    inputs,
    outputs,
    attributes: new Map(axis === undefined ? [['keepdims', int(0)] as const] : [['axis', int(axis)] as const]),
  });
  const nodes = model.graph.nodes.map((n) => ({
    ...n,
    outputs: n.outputs.map((o) => (o === output!.name ? inner : o)),
  }));
  nodes.push(
    node('Gather', ['table.weight', 'row'], ['table/row'], 0),
    node('ReduceSum', ['table/row'], ['table/sum']),
    { ...node('Add', [inner, 'table/sum'], [output!.name]), attributes: new Map() },
  );
  const initializers = new Map(model.graph.initializers).set('row', i64([1], [ROWS - 1])).set('table.weight', {
    dtype: 'float32',
    dims: [ROWS, WIDTH],
    external: { location: 'model.onnx_data', offset: 0, length: BYTES },
  });
  return { ...model, graph: { ...model.graph, nodes, initializers } };
}

test('a model of half a gigabyte is opened and sampled without its weights entering this process as JavaScript', async () => {
  const folder = tinyFolder('sd1').write(join(root, 'large'));
  const unet = join(folder, 'unet', 'model.onnx');
  const grown = encodeModel(withTable(readModel(unet)));
  const file = openSync(join(folder, 'unet', 'model.onnx_data'), 'w');
  ftruncateSync(file, BYTES);
  closeSync(file);
  writeFileSync(unet, grown);

  // What is remembered of models lies beside it.
  vi.stubEnv('XDG_DATA_HOME', root);
  vi.stubEnv('LOCALAPPDATA', root);
  vi.stubEnv('HOME', root);
  const held = () => {
    const { heapUsed, external, arrayBuffers } = process.memoryUsage();
    return heapUsed + external + arrayBuffers;
  };
  const before = held();
  let most = 0;
  const watch = () => {
    most = Math.max(most, held() - before);
  };
  const timer = setInterval(watch, 5);
  const pipeline = await loadPipeline(folder, { threads: 1 });
  watch();
  expect(pipeline.folder.sizeBytes).toBeGreaterThan(BYTES);
  expect(pipeline.folder.parameters).toBeGreaterThan(ROWS * WIDTH);
  const settings = { steps: 2, eta: 0, guidanceScale: 3, negativePrompt: '', seed: 1, keepTrajectories: false };
  const requests = [{ prompt: 'red cat', index: 0, noiseIndex: 0 }];
  for await (const p of generatePictures({ pipeline, settings, requests, onStep: watch })) {
    expect(p.sample.every(Number.isFinite)).toBe(true);
    watch();
  }
  await pipeline.close();
  clearInterval(timer);
  expect(most).toBeLessThan(100e6);
});
