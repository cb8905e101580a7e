import { describe, expect, test } from 'vitest';
import { importGraph } from '#models/autodiff/import-graph.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { fromNumbers, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { describeGradients } from '#test/support/describe-gradients.ts';
import { type ContribCase, contribCases } from './cases/contrib.ts';

describeGradients("ONNX Runtime's own operators", contribCases);

/** The node as written and its decomposition, in float32, with the case's data. */
function build(c: ContribCase) {
  const written = createBuilder();
  const inputs = Object.entries(c.inputs).map(([name, given]) =>
    written.input(name, 'float32', (typeof given[1] === 'function' ? given[0] : given) as readonly number[]),
  );
  const made = c.build(written, ...inputs);
  const outputs = Array.isArray(made) ? made : [made];
  for (const v of outputs) written.output(v);
  const model = written.toModel('written');
  const op = createBuilder();
  const imported = importGraph(op, model, { inputs: {} });
  const decomposed = outputs.map((v) => imported.outputs.get(v.name)!);
  for (const v of decomposed) op.output(v);
  const rng = new Rng(7).fork(c.title);
  const feeds: Record<string, Tensor> = Object.fromEntries(
    inputs.map((v) => [
      v.name,
      fromNumbers(
        'float32',
        v.dims,
        Array.from({ length: numel(v.dims) }, () => rng.normal()),
      ),
    ]),
  );
  return { model, outputs, decomposed, plain: op.toModel('decomposed'), feeds };
}

async function run(model: Parameters<typeof encodeModel>[0], feeds: Record<string, Tensor>) {
  const session = await createSession(encodeModel(model), { threads: 1, optimization: 'disabled' });
  const out = await session.run(feeds);
  await session.release();
  return out;
}

describe('a decomposition has the types, the sizes and, where there is a kernel, the numbers of the operator', () => {
  for (const c of contribCases) {
    test(c.title, async () => {
      const { model, outputs, decomposed, plain, feeds } = build(c);
      expect(plain.graph.nodes.filter((n) => n.domain !== '')).toEqual([]);
      expect(outputs.map((v) => [v.dtype, [...v.dims]])).toEqual(decomposed.map((v) => [v.dtype, [...v.dims]]));
      if (c.kernel === 'crashes') return;
      if (c.kernel === 'missing') {
        // The node is well formed: all that is wrong with it is that nothing runs it here.
        await expect(run(model, feeds)).rejects.toThrow(/has no .*\(1\)|not implemented for CPU/);
        return;
      }
      const expected = await run(model, feeds);
      const actual = await run(plain, feeds);
      outputs.forEach((v, i) => {
        const want = expected[v.name]!;
        const got = actual[decomposed[i]!.name]!;
        expect([got.dtype, [...got.dims]]).toEqual([want.dtype, [...want.dims]]);
        const wanted = toNumbers(want);
        const size = Math.max(1e-6, ...wanted.map(Math.abs));
        const error = Math.max(...toNumbers(got).map((y, k) => Math.abs(y - wanted[k]!)));
        expect(error / size).toBeLessThanOrEqual(3e-6);
      });
    });
  }
});
