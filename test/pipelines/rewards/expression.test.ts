import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { evaluate, parseFormula } from '#pipelines/rewards/formula.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import type { RewardItem } from '#pipelines/rewards/types.ts';
import { picture } from './pictures.ts';

const value = (text: string) => evaluate(parseFormula(text, []), () => Number.NaN);
const score = async (formula: string, ...sequences: string[]) => {
  const items: RewardItem[] = sequences.map((sequence) => ({ kind: 'sequence', sequence }));
  return Array.from(await (await createReward(`expr:${formula}`)).score(items));
};

describe('arithmetic', () => {
  test.each([
    ['1 + 2 * 3', 7],
    ['(1 + 2) * 3', 9],
    ['8 - 3 - 2', 3],
    ['16 / 4 / 2', 2],
    ['2 ^ 3 ^ 2', 512],
    ['-2 ^ 2', -4],
    ['2 ^ -1', 0.5],
    ['- -3', 3],
    ['1.5e1 + .5', 15.5],
    ['1 + 1 < 3', 1],
    ['1 >= 2', 0],
    ['2 == 2', 1],
    ['2 != 2', 0],
    ['min(3, 1, 2) + max(4, 5)', 6],
    ['clamp(7, 0, 1) + clamp(-7, -1, 1)', 0],
    ['if(2 > 1, 10, log(-1))', 10],
    ['sqrt(9) + abs(-4) + exp(0) + log(1)', 8],
  ])('%s is %d', (text, expected) => expect(value(text)).toBeCloseTo(expected, 12));

  const number = fc.integer({ min: 0, max: 9 });
  const { tree } = fc.letrec<{ tree: string }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      number.map(String),
      fc.tuple(tie('tree'), fc.constantFrom(' + ', '-', '*', ' / '), tie('tree')).map(([a, op, b]) => `${a}${op}${b}`),
      tie('tree').map((inner) => `(${inner})`),
      tie('tree').map((inner) => `-(${inner})`),
    ),
  }));
  prop.prop([tree])('is what JavaScript makes of the same text', (text) => {
    // Only digits, the four operations and parentheses get here.
    expect(value(text)).toEqual(Number(new Function(`return ${text.replaceAll('--', '- -')}`)()));
  });
});

describe('a formula over properties', () => {
  test('is the score of each sequence', async () => {
    const [a, b] = await score('-abs(gc-0.5)*10 + motif("TATAAA")', 'GGTATAAAGG', 'GGGGCCCCGG');
    const [motifA, motifB] = await score('motif("TATAAA", strands="both")', 'GGTATAAAGG', 'GGGGCCCCGG');
    expect(a).toBeCloseTo(-1 + motifA!, 5);
    expect(b).toBeCloseTo(-5 + motifB!, 5);
  });

  test('reads hyphens in names as names and elsewhere as minus, and underscores for them', async () => {
    expect(await score('gc-cpg', 'GGCC')).toEqual([1]);
    const [one, two, three] = [
      await score('net-charge(3)-net-charge(pH=3)', 'KK'),
      await score('net_charge', 'DD'),
      await score('net-charge', 'DD'),
    ];
    expect(one).toEqual([0]);
    expect(two).toEqual(three);
  });

  test('gives options as numbers and texts', async () => {
    expect(await score('repeats(4) + repeats(least=2)', 'ACGACG')).toEqual([3]);
    expect(await score('restriction-sites("EcoRI+BamHI")', 'GAATTCGGATCC')).toEqual([2]);
  });

  test('of pictures measures pictures', async () => {
    const reward = await createReward('expr:brightness^2 + warmth');
    expect(reward.kinds).toEqual(['image']);
    const [white] = await reward.score([picture(2, 2, () => [255, 255, 255])]);
    expect(white).toBeCloseTo(1, 6);
  });
});

describe('a formula that is wrong', () => {
  test.each([
    ['gcc + 1', /Position 1 .*no property "gcc"/s, /gc\?/],
    ['1 + motiff("A")', /Position 5 .*"motiff"/s, /motif\?/],
    ['gc +', /Position 5 .*before the end/s, /manual/],
    ['gc gc', /Position 4 .*an operator is expected before "gc"/s, /manual/],
    ['(gc', /Position 4 .*"\)" is expected/s, /manual/],
    ['gc & 1', /Position 4 .*"&" means nothing/s, /manual/],
    ['motif("TATA', /Position 7 .*not closed/s, /manual/],
    ['abs(gc, 1)', /Position 1 .*abs takes 1 arguments, not 2/s, /manual/],
    ['clamp + gc', /"\(" after clamp/s, /manual/],
    ['gc(3)', /gc takes no argument without a name/, /none/],
    ['motif(gc)', /Position 7 .*a number or "text"/s, /manual/],
    ['1 + 2', /reads no property/, /one kind/],
    ['gc + brightness', /of pictures and of sequences/, /one kind/],
    [`${'('.repeat(5000)}gc`, /nested too deeply/, /manual/],
    [`${'-'.repeat(5000)}gc`, /nested too deeply/, /manual/],
    ['constructor', /no property "constructor"/, /./],
  ])('%.30s says where and what', async (formula, message, hint) => {
    await expect(createReward(`expr:${formula}`)).rejects.toMatchObject({
      code: 'reward/formula',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
  });

  test('in an option is refused as that reward would', async () => {
    await expect(createReward('expr:motif("TAXA")')).rejects.toMatchObject({ code: 'reward/option' });
  });

  test('for one sequence names it and the values it had', async () => {
    await expect(score('log(gc)', 'GC', 'AT')).rejects.toMatchObject({
      code: 'reward/not-finite',
      message: expect.stringMatching(/Item 1: .*-Infinity where gc = 0/),
    });
  });
});
