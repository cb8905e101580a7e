import { describe, expect, test } from 'vitest';
import type { RewardManifest } from '#pipelines/rewards/manifest.ts';
import { parseOnnxSpec, scoreAt } from '#pipelines/rewards/onnx-spec.ts';

test.each([
  ['models/a.onnx', { path: 'models/a.onnx' }],
  ['C:\\models, old\\a.onnx', { path: 'C:\\models, old\\a.onnx' }],
  ['a,b=c.onnx', { path: 'a,b=c.onnx' }],
  ['a.onnx,output=logits', { path: 'a.onnx', output: 'logits' }],
  ['a,b.onnx,column=2', { path: 'a,b.onnx', column: '2' }],
  ['a.onnx,column=K562,output=activity', { path: 'a.onnx', output: 'activity', column: 'K562' }],
])('%s', (text, spec) => {
  expect(parseOnnxSpec(text)).toEqual(spec);
});

describe('the score of a network with two outputs', () => {
  const outputs = [
    { name: 'logits', dtype: 'float32', dims: ['B', 3] },
    { name: 'value', dtype: 'float32', dims: ['B', 'K'] },
  ] as const;
  const manifest: RewardManifest = {
    range: [0, 1],
    mean: [0],
    std: [1],
    layout: 'NCHW',
    alphabet: 'ACGT',
    higherIsBetter: true,
    output: 'logits',
    outputIndex: 1,
    outputs: ['one', 'two', 'three'],
  };
  const at = (text: string) => scoreAt(parseOnnxSpec(text), outputs, manifest);

  test('is where reward.json says, unless the spec says otherwise', () => {
    expect(at('a')).toEqual({ output: 'logits', column: 1 });
    expect(at('a,column=three')).toEqual({ output: 'logits', column: 2 });
    expect(at('a,column=0')).toEqual({ output: 'logits', column: 0 });
  });

  test('takes nothing of another output from reward.json', () => {
    expect(at('a,output=value')).toEqual({ output: 'value' });
    expect(at('a,output=value,column=7')).toEqual({ output: 'value', column: 7 });
    expect(() => at('a,output=value,column=two')).toThrow(expect.objectContaining({ code: 'reward/output' }));
  });
});
