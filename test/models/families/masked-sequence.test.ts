import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openSequenceModel } from '#models/families/sequence-model.ts';
import { writeFileAtomic } from '#models/files.ts';
import { TOY_A, type ToyLaw, type ToyOptions, writeToySequenceModel } from '#test/support/masked-toy.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-masked-'));
afterAll(() => rmSync(root, { recursive: true }));
let n = 0;
const write = (config: object = {}, options: Partial<ToyOptions> = {}) =>
  writeToySequenceModel(join(root, String(n++)), { laws: [TOY_A], ...options }, config);
const open = (config: object = {}, options: Partial<ToyOptions> = {}) => {
  const model = openSequenceModel(write(config, options));
  if (model.kind !== 'masked') throw new Error('not masked');
  return model;
};

/** Four letters of one position each. */
const DNA: ToyLaw = { letters: 4, length: 1, joint: [0.4, 0.3, 0.2, 0.1] };

describe('a masked model', () => {
  test('is read from its folder', () => {
    const model = open({ kind: 'rna' });
    expect(model).toMatchObject({
      alphabet: 'AC',
      molecule: 'rna',
      maskId: 2,
      vocabulary: 3,
      written: [0, 1],
      columns: [0, 1],
      length: [2, 2],
      time: null,
      timeConditioned: false,
      classes: [],
      nullClass: null,
      batch: null,
      positions: 2,
    });
  });

  test('is told the time as t or as the total noise, or not at all', () => {
    const named = (name: string, config: object = {}) => open(config, { time: { name, rank: 1 } });
    expect(named('timestep')).toMatchObject({ time: { quantity: 't' }, timeConditioned: true });
    expect(named('sigma')).toMatchObject({ time: { quantity: 'sigma' }, timeConditioned: true });
    expect(named('sigma', { time_conditioning: false })).toMatchObject({ timeConditioned: false });
    expect(named('level', { timestep: { name: 'level', quantity: 'sigma' } }).time!.port.name).toBe('level');
  });

  test('has classes where its graph reads them', () => {
    expect(open({ classes: ['x', 'y'], null_class_id: 2 }, { laws: [TOY_A, TOY_A, TOY_A] })).toMatchObject({
      classes: ['x', 'y'],
      nullClass: 2,
    });
  });

  test('with the channels in another order says which token each is', () => {
    expect(open({ channels_order: 'TGCA' }, { laws: [DNA] }).columns).toEqual([3, 2, 1, 0]);
  });

  test('whose mask is a letter of its alphabet never writes it', () => {
    expect(open({ alphabet: 'AC#', mask_token_id: 2 }).written).toEqual([0, 1]);
  });

  test('without a known kind is recognised by its alphabet', () => {
    expect(open({}, { laws: [DNA] }).molecule).toBe('dna');
  });
});

describe('a folder that cannot be used is refused, saying where and why:', () => {
  test.each([
    ['no alphabet', { alphabet: undefined }, /config\.json: alphabet/],
    ['a letter twice', { alphabet: 'AA' }, /alphabet: a letter stands in it twice/],
    ['no length', { length: undefined }, /config\.json: length/],
    ['lengths turned round', { length: [5, 2] }, /shortest, longest/],
    ['no mask', { mask_token_id: undefined }, /has no "mask_token_id"/],
    [
      'an alphabet that does not fit the result',
      { alphabet: 'ACGT' },
      /3 numbers per position for an alphabet of 4 letters/,
    ],
    ['a length that does not fit the export', { length: 7 }, /has 2 for the length in "input_ids"/],
    ['shorter sequences without padding', { length: [1, 2] }, /exported for 2 positions only/],
    ['classes that the graph does not read', { classes: ['x'] }, /no input "class_labels"/],
    ['channels of other letters', { channels_order: 'AG' }, /channels_order "AG"/],
    ['another kind of diffusion', { kind: 'uniform-d3pm' }, /"uniform-d3pm", which has no sampler/],
    ['an input nobody gives', {}, /reads "level"/, { time: { name: 'level', rank: 1 as const } }],
    ['unnamed classes', { classes: [] }, /names no classes/, { laws: [TOY_A, TOY_A] }],
  ] as const)('%s', (_, config, message, options: Partial<ToyOptions> = {}) => {
    expect(() => open(config, options)).toThrow(message);
  });

  test('a model of pictures', () => {
    const folder = write();
    writeFileAtomic(join(folder, 'model_index.json'), '{"_class_name": "DDPMPipeline"}');
    expect(() => openSequenceModel(folder)).toThrow(/DDPMPipeline, not a model of sequences/);
  });

  test('no graph', () => {
    const folder = write();
    rmSync(join(folder, 'denoiser', 'model.onnx'));
    expect(() => openSequenceModel(folder)).toThrow(/denoiser[/\\]model\.onnx/);
  });
});
