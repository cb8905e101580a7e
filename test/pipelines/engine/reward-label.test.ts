import { expect, test } from 'vitest';
import { rewardLabel } from '#pipelines/engine/reward-label.ts';

test.each([
  ['motif:TATAAA,count=true', 'motif:TATAAA,count=true'],
  ['onnx:/home/me/taste.onnx', 'taste'],
  ['onnx:/models/enhancer-oracle-a/model.onnx', 'enhancer-oracle-a'],
  ['onnx:/models/enhancer-oracle-a/model.onnx,column=K562', 'enhancer-oracle-a: K562'],
  ['onnx:/models/oracle/model.onnx,output=activity,column=2', 'oracle: activity 2'],
])('%s is called %s', (spec, label) => {
  expect(rewardLabel(spec)).toBe(label);
});
