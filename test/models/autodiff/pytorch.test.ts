import { describe, expect, test } from 'vitest';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { gradientFixtures, loadGradientFixture, relativeError, wrongGradients } from '#test/support/gradients.ts';

// PyTorch's own float32 gradients differ from its float64 ones by up to 9e-6 on these networks (see PROVENANCE.md),
// so 1e-4 leaves room for another order of summation and none for a wrong rule.
const GRADIENT_TOLERANCE = 1e-4;
const OUTPUT_TOLERANCE = 1e-5;

describe('gradients of networks exported by PyTorch', () => {
  for (const entry of gradientFixtures()) {
    test(`every gradient of ${entry.title} agrees with PyTorch to 1e-4`, async () => {
      const fixture = loadGradientFixture(entry);
      const model = readModel(fixture.modelPath);
      const inputDims = Object.fromEntries([...fixture.inputs].map(([name, t]) => [name, t.dims]));
      // All that has a derivative: floating weights, and floating inputs, which guidance and reward gradients need.
      const weights = [...model.graph.initializers].filter(([, t]) => t.dtype === 'float32').map(([name]) => name);
      const floatingInputs = [...fixture.inputs].filter(([, t]) => t.dtype === 'float32').map(([name]) => name);
      const wrt = [...weights, ...floatingInputs];
      const reference = new Map(wrt.map((name) => [name, fixture.gradient(name)]));

      const gradient = gradientModel(model, { inputDims, wrt });
      expect(gradient.noPath).toEqual([]);

      const session = await createSession(encodeModel(gradient.model));
      const feeds = new Map<string, Tensor>(fixture.inputs);
      for (const [name, t] of fixture.cotangents) feeds.set(`cotangent/${name}`, t);
      const results = await session.run(Object.fromEntries(feeds));
      await session.release();

      for (const [name, expected] of fixture.outputs) {
        expect(relativeError(results[name]!, expected), `output ${name}`).toBeLessThanOrEqual(OUTPUT_TOLERANCE);
      }
      const actual = new Map<string, Tensor>();
      for (const name of wrt) if (results[`grad/${name}`]) actual.set(name, results[`grad/${name}`]!);
      expect(wrongGradients(actual, reference, GRADIENT_TOLERANCE)).toEqual([]);
    });
  }
});

describe('the comparison itself', () => {
  const reference = new Map<string, Tensor>([
    ['big', f32([2], [300, 400])],
    ['small', f32([2], [3, 4])],
    ['vanishing', f32([1], [1e-9])],
  ]);
  const compare = (changes: Record<string, Tensor>) =>
    wrongGradients(new Map([...reference, ...Object.entries(changes)]), reference, 1e-4).map(
      (line) => line.split(/[ :]/)[0],
    );

  test('a gradient is judged by its own norm, not by that of the largest one', () => {
    expect(compare({})).toEqual([]);
    expect(compare({ small: f32([2], [3.001, 4]) })).toEqual(['small']);
    expect(compare({ big: f32([2], [300.001, 400]) })).toEqual([]);
  });

  test('a vanishing gradient may differ by rounding and by no more', () => {
    expect(compare({ vanishing: f32([1], [1e-4]) })).toEqual([]);
    expect(compare({ vanishing: f32([1], [1e-3]) })).toEqual(['vanishing']);
  });

  test('NaN, another shape and absence are all wrong', () => {
    expect(compare({ small: f32([2], [Number.NaN, 4]) })).toEqual(['small']);
    expect(compare({ small: f32([2, 1], [3, 4]) })).toEqual(['small']);
    expect(wrongGradients(new Map(), reference, 1e-4)).toHaveLength(3);
  });
});
