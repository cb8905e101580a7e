import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Model } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { gradientFixtures, loadGradientFixture } from '#test/support/gradients.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-inspect-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const inspect = (...args: string[]) => runCli('graph', 'inspect', ...args);

/** Two linear layers with names as an attention block has them; the batch is free. */
function network(): Model {
  const op = createBuilder();
  const x = op.input('x', 'float32', [1, 4]);
  const weight = (name: string, rows: number, columns: number) =>
    op.initializer(name, f32([rows, columns], new Float32Array(rows * columns).fill(0.5)));
  const a = op.matmul(x, weight('block.attn.to_q.weight', 4, 6));
  op.output(op.matmul(op.tanh(a), weight('block.fc.weight', 6, 2)), 'y');
  return op.toModel('network', (v) => ['batch', ...v.dims.slice(1)]);
}

beforeAll(() => {
  writeModel(network(), at('beside.onnx'), { external: { location: 'beside.data', minBytes: 1 } });
  writeModel(network(), at('network.onnx'));
});

test('says what a graph holds, what can be trained, which layers carry adapters and what a step takes', async () => {
  const run = await inspect(at('network.onnx'));
  expect([run.code, run.err]).toEqual([0, '']);
  expect(run.out).toContain('36 parameters (144 B), 4 nodes, opset ai.onnx 21');
  expect(run.out).toContain('x: float32 [batch, 4]  gradient: yes');
  expect(run.out).toContain('Free sizes are taken as --input x=1x4');
  expect(run.out).toContain('2 of 2 weights have a gradient from y.');
  expect(run.out).toContain('Adapters: 1 attention layers, 2 linear, 2 in all');
  expect(run.out).toMatch(/block\.attn\.to_q: linear 4 → 6/);
  expect(run.out).toMatch(/adapter of rank 8 on 1 attention layers \(80 parameters\): \d+ FLOP/);
  expect(run.out).toMatch(/everything kept: about \d+ MB in all, about [\d.e-]+ s on this CPU/);
});

test('--json is complete: every weight, every layer, every size', async () => {
  const result = (await inspect(at('network.onnx'), '--json', '--input', 'x=3x4', '--rank', '2')).result();
  expect(result).toMatchObject({
    parameters: 36,
    missing: [],
    failure: null,
    sizes: [{ input: 'x', dims: [3, 4], from: 'given' }],
    weights: [
      { name: 'block.attn.to_q.weight', dims: [4, 6], state: 'yes', outputs: ['y'] },
      { name: 'block.fc.weight', dims: [6, 2], state: 'yes', outputs: ['y'] },
    ],
    adapters: [
      { module: 'block.attn.to_q', group: 'attention', kind: 'linear', inFeatures: 4, outFeatures: 6, trainable: true },
      { module: 'block.fc', group: 'linear', kind: 'linear', inFeatures: 6, outFeatures: 2, trainable: true },
    ],
    // Down [2, 4] and up [6, 2].
    adapterStep: { rank: 2, targets: 'attention', modules: 1, parameters: 20 },
  });
});

test('weights beside the graph are counted and not read', async () => {
  const whole = (await inspect(at('beside.onnx'), '--json')).result();
  expect(whole).toMatchObject({ externalBytes: 144, weightBytes: 144, failure: null });
  // As long as the file has the right length, what is in it does not matter.
  writeFileSync(at('beside.data'), Buffer.alloc(readFileSync(at('beside.data')).length, 0xff));
  const again = (await inspect(at('beside.onnx'), '--json')).result();
  // Times are this machine's at that moment.
  expect({ ...again, adapterStep: null }).toEqual({ ...whole, adapterStep: null });
});

test.each([
  [['--input', 'x=2x5'], /"x" is \[batch, 4\], which 2x5 does not fit/],
  [['--input', 'z=2x5'], /has no input "z".*x/],
  [['--input', 'x'], /NAME=SIZES/],
  [['--input', 'x=0x4'], /NAME=SIZES/],
])('%j is bad input', async (args, message) => {
  const run = await inspect(at('network.onnx'), ...args);
  expect(run.err).toMatch(message);
  expect([run.code, run.out]).toEqual([2, '']);
});

test('a file that was cut short is refused in one line', async () => {
  writeModel(network(), at('cut.onnx'));
  truncateSync(at('cut.onnx'), 200);
  const run = await inspect(at('cut.onnx'));
  expect(run.err).toContain('cut.onnx');
  expect(run.err.trimEnd().split('\n')).toHaveLength(1);
  expect(run.code).toBe(2);
});

const newest = new Map(gradientFixtures().map((entry) => [entry.folder, entry]));
test.each([...newest.values()].map((entry) => [entry.title, entry] as const))(
  'everything in %s can be differentiated, as PyTorch could',
  async (_title, entry) => {
    const fixture = loadGradientFixture(entry);
    const sizes = [...fixture.inputs].flatMap(([name, t]) => ['--input', `${name}=${t.dims.join('x') || 'scalar'}`]);
    const result = (await inspect(fixture.modelPath, '--json', ...sizes)).result();
    expect(result).toMatchObject({ blockers: [], missing: [], failure: null });
    const states = (result.weights as { name: string; state: string }[]).filter((w) => w.state !== 'yes');
    expect(states).toEqual([]);
  },
);
