import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import {
  ATTRIBUTE_NAMES,
  ATTRIBUTES,
  type FlowerAttributes,
  isHeldOut,
  sampleAttributes,
} from '#pipelines/recipes/flora/attributes.ts';
import {
  caption,
  captionWords,
  MAX_CAPTION_WORDS,
  parseCaption,
  trainingCaption,
  VOCABULARY,
} from '#pipelines/recipes/flora/captions.ts';

const seed = fc.integer({ min: 0, max: 2 ** 40 });

/** The attributes that are there, without nulls. */
function said(a: Partial<FlowerAttributes>): Partial<FlowerAttributes> {
  return Object.fromEntries(Object.entries(a).filter(([, value]) => value !== null));
}

/** Any subset of the attributes of a random flower. */
const partial = fc.tuple(seed, fc.subarray([...ATTRIBUTE_NAMES])).map(([s, names]) => {
  const a = sampleAttributes(new Rng(s));
  return said(Object.fromEntries(names.map((name) => [name, a[name]])));
});

describe('captions', () => {
  test.prop([partial, seed], { numRuns: 2000 })('say exactly what they were given', (a, s) => {
    expect(parseCaption(caption(a, new Rng(s)))).toEqual(a);
  });

  test.prop([seed], { numRuns: 1000 })('use a closed vocabulary and few words', (s) => {
    const rng = new Rng(s);
    const words = captionWords(caption(sampleAttributes(rng), rng));
    expect(words.filter((word) => !VOCABULARY.includes(word))).toEqual([]);
    expect(words.length).toBeLessThanOrEqual(MAX_CAPTION_WORDS);
  });

  test('the vocabulary is small, lower case and without repeats', () => {
    expect(VOCABULARY.length).toBeLessThanOrEqual(80);
    expect(new Set(VOCABULARY).size).toBe(VOCABULARY.length);
    for (const word of VOCABULARY) expect(captionWords(word)).toEqual([word]);
  });

  test('every vocabulary word is used by some caption', () => {
    const rng = new Rng(5);
    const used = new Set<string>();
    for (let i = 0; i < 3000; i++) for (const word of captionWords(caption(sampleAttributes(rng), rng))) used.add(word);
    for (let i = 0; i < 200; i++) for (const word of captionWords(caption({}, rng))) used.add(word);
    expect(VOCABULARY.filter((word) => !used.has(word))).toEqual([]);
  });

  test.prop([seed])('training captions never contradict their picture', (s) => {
    const rng = new Rng(s);
    const a = sampleAttributes(rng);
    expect(a).toMatchObject(parseCaption(trainingCaption(a, rng)));
  });

  test('training captions keep species about 95 % and the others about 85 % of the time', () => {
    const rng = new Rng(11);
    const runs = 6000;
    const kept = { species: 0, background: 0, leaves: 0 };
    let bare = 0;
    for (let i = 0; i < runs; i++) {
      const found = parseCaption(trainingCaption(sampleAttributes(rng), rng));
      for (const name of ['species', 'background', 'leaves'] as const) if (name in found) kept[name]++;
      if (Object.keys(found).length === 0) bare++;
    }
    // Times 29/30 for the captions that only say "a flower"; the band is four standard errors (0.018).
    expect(Math.abs(kept.species / runs - (0.95 * 29) / 30)).toBeLessThan(0.018);
    expect(Math.abs(kept.background / runs - (0.85 * 29) / 30)).toBeLessThan(0.018);
    expect(Math.abs(kept.leaves / runs - (0.85 * 29) / 30)).toBeLessThan(0.018);
    expect(Math.abs(bare / runs - 1 / 30)).toBeLessThan(0.01);
  });
});

describe('reading a prompt', () => {
  test('everyday wordings are understood', () => {
    expect(parseCaption('A Yellow tulip, no leaves; pale blue background!')).toEqual({
      species: 'tulip',
      petalColour: 'yellow',
      leaves: 'no leaves',
      background: 'sky',
    });
    expect(parseCaption('blue daisies with 6 petals and a yellow center in front of a dark blue background')).toEqual({
      species: 'daisy',
      petalColour: 'blue',
      petalCount: 'six',
      centreColour: 'golden',
      background: 'navy',
    });
    expect(parseCaption('poppy with a green centre and a leaf, mint green background, growing in the garden')).toEqual({
      species: 'poppy',
      centreColour: 'green',
      leaves: 'one leaf',
      background: 'mint',
      setting: 'on the ground',
    });
    expect(parseCaption('four red petals and two green leaves')).toEqual({
      petalColour: 'red',
      petalCount: 'four',
      leaves: 'two leaves',
    });
  });

  test('what a prompt leaves open stays open', () => {
    expect(parseCaption('')).toEqual({});
    expect(parseCaption('a photograph of a cat, 4k, masterpiece')).toEqual({});
    expect(parseCaption('a flower')).toEqual({});
    expect(parseCaption('a tulip with four leaves')).toEqual({ species: 'tulip' });
  });

  test('of two values the earlier one counts', () => {
    expect(parseCaption('a white and red lily')).toEqual({ species: 'lily', petalColour: 'white' });
  });
});

describe('attributes', () => {
  test('no word belongs to two attributes, so a prompt cannot be misread', () => {
    const common = new Set(['in', 'on', 'a', 'the']);
    const owner = new Map<string, string>();
    for (const name of ATTRIBUTE_NAMES) {
      for (const value of ATTRIBUTES[name]) {
        for (const word of value.split(' ')) {
          if (common.has(word)) continue;
          expect(owner.get(word) ?? name).toBe(name);
          owner.set(word, name);
        }
      }
    }
  });

  test('about a tenth of all combinations is held out, and every value appears on both sides', () => {
    const rng = new Rng(3);
    const seen = { train: new Set<string>(), 'held-out': new Set<string>() };
    let held = 0;
    const runs = 8000;
    for (let i = 0; i < runs; i++) {
      const a = sampleAttributes(rng);
      const out = isHeldOut(a);
      held += out ? 1 : 0;
      for (const name of ATTRIBUTE_NAMES) if (a[name]) seen[out ? 'held-out' : 'train'].add(`${name} ${a[name]}`);
    }
    const values = ATTRIBUTE_NAMES.reduce((sum, name) => sum + ATTRIBUTES[name].length, 0);
    expect(seen.train.size).toBe(values);
    expect(seen['held-out'].size).toBe(values);
    expect(held / runs).toBeGreaterThan(0.08);
    expect(held / runs).toBeLessThan(0.12);
  });

  test('flowers seen from the side have no countable petals and no centre', () => {
    const rng = new Rng(4);
    for (let i = 0; i < 500; i++) {
      const a = sampleAttributes(rng);
      const side = a.species === 'tulip' || a.species === 'bellflower';
      expect(a.petalCount === null).toBe(side);
      expect(a.centreColour === null).toBe(side);
    }
  });
});
