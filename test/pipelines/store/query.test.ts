import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { SAMPLERS } from '#pipelines/schedulers/names.ts';
import { type Condition, FILTER_NAMES, parseQuery } from '#pipelines/store/query.ts';

const NOW = new Date(2026, 2, 15, 13, 30);
const conditions = (text: string) => parseQuery(text, NOW).terms.map(({ condition }) => condition);
const problems = (text: string) => parseQuery(text, NOW).problems.map(({ message, hint }) => `${message} ${hint}`);

/** Text with something to say, without quotes. */
const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .filter((text) => !/["<>=\s\p{C}]/u.test(text) && text.toLowerCase() !== 'none');
const words = fc.array(name, { minLength: 1, maxLength: 3 }).map((list) => list.join(' '));
const whole = fc.nat(2 ** 31 - 1);

/** Every kind of condition, and the way a person would write it. */
const written: fc.Arbitrary<[Condition, string]> = fc.oneof(
  name
    .filter((text) => !/^(-|star(red)?$|[a-z]+:)/i.test(text))
    .map((text): [Condition, string] => [{ kind: 'word', text }, text]),
  words.map((text): [Condition, string] => [{ kind: 'phrase', text }, `"${text}"`]),
  fc.constantFrom<[Condition, string]>(
    [{ kind: 'star' }, 'star'],
    [{ kind: 'trash' }, 'in:trash'],
    [{ kind: 'base' }, 'adapter:none'],
  ),
  fc
    .tuple(fc.constantFrom('model', 'adapter', 'tag'), words)
    .map(([kind, text]): [Condition, string] => [{ kind, name: text } as Condition, `${kind}:"${text}"`]),
  fc
    .constantFrom(...SAMPLERS)
    .map((sampler): [Condition, string] => [{ kind: 'sampler', name: sampler }, `sampler:${sampler}`]),
  fc.tuple(whole, whole).map(([a, b]): [Condition, string] => {
    const [from, to] = [Math.min(a, b), Math.max(a, b)];
    return [{ kind: 'seed', from, to }, from === to ? `seed:${from}` : `seed:${from}..${to}`];
  }),
  fc
    .tuple(fc.integer({ min: 1, max: 9999 }), fc.option(fc.integer({ min: 1, max: 9999 })))
    .map(([width, height]): [Condition, string] => [
      { kind: 'size', width, height },
      height === null ? `size:${width}` : `size:${width}x${height}`,
    ]),
  fc
    .tuple(
      name,
      fc.constantFrom('>', '>=', '<', '<=', '=' as const),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
    )
    .map(([reward, is, value]): [Condition, string] => [
      { kind: 'reward', reward, limit: { is: is as '>', value } },
      `reward:${reward}${is}${value}`,
    ]),
  fc
    .tuple(fc.constantFrom('before' as const, 'after' as const), fc.integer({ min: 0, max: 20_000 }))
    .map(([kind, day]): [Condition, string] => {
      const date = new Date(1990, 0, 1 + day);
      const two = (n: number) => String(n).padStart(2, '0');
      const text = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
      return [{ kind, at: date.toISOString() }, `${kind}:${text}`];
    }),
);

describe('what is written', () => {
  test.prop([fc.array(fc.tuple(written, fc.boolean()), { maxLength: 12 })])(
    'is read back, each term at its place',
    (list) => {
      const pieces = list.map(([[, text], negated]) => (negated ? `-${text}` : text));
      const text = pieces.join('  ');
      const query = parseQuery(text, NOW);
      expect(query.problems).toEqual([]);
      expect(query.terms.map(({ condition, negated }) => [condition, negated])).toEqual(
        list.map(([[condition], negated]) => [condition, negated]),
      );
      expect(query.terms.map(({ from, to }) => text.slice(from, to))).toEqual(pieces);
    },
  );

  test.prop([fc.string({ unit: 'binary', maxLength: 200 })])(
    'is never fatal: any text has terms and problems within it',
    (text) => {
      const { terms, problems: found } = parseQuery(text, NOW);
      for (const { from, to } of [...terms, ...found]) {
        expect(from).toBeGreaterThanOrEqual(0);
        expect(to).toBeGreaterThan(from);
        expect(to).toBeLessThanOrEqual(text.length);
      }
    },
  );

  test('may be a weight of a prompt: brackets begin no filter', () => {
    expect(conditions('(rose:1.2)')).toEqual([{ kind: 'word', text: '(rose:1.2)' }]);
  });

  test('today and yesterday begin at midnight of this machine', () => {
    expect(conditions('after:yesterday before:today')).toEqual([
      { kind: 'after', at: new Date(2026, 2, 14).toISOString() },
      { kind: 'before', at: new Date(2026, 2, 15).toISOString() },
    ]);
    expect(conditions('after:2026-02')).toEqual([{ kind: 'after', at: new Date(2026, 1, 1).toISOString() }]);
  });
});

describe('what is not understood', () => {
  test.each([
    ['modle:flora', /no filter "modle:".*Did you mean model:\?.*quotes/],
    ['zzzzz:1', new RegExp(`Filters are ${FILTER_NAMES[0]}:`)],
    ['sampler:dimm', /Did you mean sampler:ddim\?/],
    ['seed:twelve', /whole number.*seed:123/],
    ['seed:9..3', /seed:3\.\.9/],
    ['size:big', /512x512/],
    ['reward:>1', /Name a reward/],
    ['reward:brightness>much', /number stands after >/],
    ['before:2026-02-30', /year-month-day/],
    ['in:box', /in:trash/],
    ['tag:', /Nothing stands after "tag:".*tag:favourite/],
    ['red "deep blue', /quote is not closed/],
  ])('%s is answered with what to write instead', (text, expected) => {
    expect(problems(text)).toEqual([expect.stringMatching(expected)]);
  });

  test('is left out, and the rest is searched for', () => {
    expect(conditions('red modle:flora star')).toEqual([{ kind: 'word', text: 'red' }, { kind: 'star' }]);
  });

  test('includes the fifty-first condition', () => {
    const { terms, problems: found } = parseQuery('a '.repeat(60), NOW);
    expect(terms).toHaveLength(50);
    expect(found).toHaveLength(1);
  });
});
