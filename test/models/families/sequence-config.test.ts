import { expect, test } from 'vitest';
import { parseSequenceConfig } from '#models/families/sequence-config.ts';
import type { Component } from '#models/families/types.ts';

const parse = (config: Component['config']) =>
  parseSequenceConfig({ role: 'denoiser', path: '/models/enhancer/denoiser/model.onnx', config } as Component);

test('keys that a configuration does not have get their defaults, and foreign ones are kept', () => {
  expect(parse({ alphabet: 'ACGT', length: [20, 50], licence: 'CC0' })).toMatchObject({
    length: [20, 50],
    classes: [],
    output_kind: 'logits',
    time_conditioning: true,
    licence: 'CC0',
  });
});

test('a wrong key is named with its file', () => {
  expect(() => parse({ alphabet: 'ACGT', length: 0 })).toThrow('/models/enhancer/denoiser/config.json: length');
  expect(() => parse({ alphabet: 'ACGT', length: 9, output_kind: 'probabilities' })).toThrow(/output_kind/);
  expect(() => parse({})).toThrow(/alphabet/);
});

test('kinds of models without a sampler are refused by name', () => {
  for (const kind of ['uniform-d3pm', 'autoregressive']) {
    expect(() => parse({ alphabet: 'ACGT', length: 9, kind })).toThrow(`"${kind}"`);
  }
});
