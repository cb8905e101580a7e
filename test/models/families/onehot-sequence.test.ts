import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openModelFolder } from '#models/families/index.ts';
import { openSequenceModel } from '#models/families/sequence-model.ts';
import { writeTinyOneHotModel } from '#test/support/tiny-sequence-model.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-onehot-'));
afterAll(() => rmSync(root, { recursive: true }));
let n = 0;
const open = (config: object = {}) =>
  openSequenceModel(
    writeTinyOneHotModel(
      join(root, String(n++)),
      [
        [0, 1, 2, 3, 3],
        [0, 0, 0, 0, 0],
      ],
      config,
    ),
  );

test('a one-hot model is read from its folder', () => {
  expect(open()).toMatchObject({
    kind: 'one-hot',
    dims: [1, 4, 5],
    channels: [0, 1, 2, 3],
    classes: ['cell 0'],
    nullClass: 1,
    length: [5, 5],
    molecule: 'dna',
  });
  expect(open({ channels_order: 'GATC' })).toMatchObject({ channels: [2, 0, 3, 1] });
});

test.each([
  ['another length', { length: 9 }, /has 5 for the length in "sample"/],
  ['other letters', { alphabet: 'ACGTN' }, /has 4 for the letters/],
  ['several lengths', { length: [2, 5] }, /a one-hot model has one/],
])('one with %s than its graph is refused', (_, config, message) => {
  expect(() => open(config)).toThrow(message);
});

test('a one-hot model is not taken for one of pictures, whose signature it has', () => {
  const folder = writeTinyOneHotModel(join(root, 'pictures'), [[0], [1]]);
  expect(() => openModelFolder(folder)).toThrow(/is a model of sequences/);
});
