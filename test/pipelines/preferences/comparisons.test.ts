import { describe, expect, test } from 'vitest';
import { decidedPairs, parseComparisonLog, standingComparisons } from '#pipelines/preferences/index.ts';

const left = '{"type":"pair","items":["a","b"],"slots":["b","a"],"outcome":"left","raterId":"me"}';

describe('a comparison log', () => {
  test('keeps fields it does not know and skips blank lines', () => {
    expect(parseComparisonLog(`${left}\n\n`)).toMatchObject([{ raterId: 'me' }]);
  });

  test.each([
    ['{"type":"pair","items":["a","a"],"outcome":"left"}', /with itself/],
    ['{"type":"pair","items":["a","b"],"slots":["a","c"],"outcome":"left"}', /slots/],
    ['{"type":"pair","items":["a","b"],"outcome":"middle"}', /outcome/],
    ['{"type":"best","items":["a","b"],"winner":"c"}', /winner/],
    ['{"type":"best","items":["a","b"]}', /winner or an outcome/],
    ['{"type":"rank","items":["a","b"],"order":["a","a"]}', /order/],
    ['{"type":"pair","items":["a"', /not a JSON object/],
    ['7', /comparison/],
  ])('refuses %s by line', (line, why) => {
    expect(() => parseComparisonLog(`${left}\n${line}`, 'votes.jsonl')).toThrow(why);
    expect(() => parseComparisonLog(`${left}\n${line}`, 'votes.jsonl')).toThrow(/votes\.jsonl, line 2/);
  });

  test('a voided answer does not stand; the answer given again does', () => {
    const right = left.replace('"left"', '"right"');
    const outcomes = (lines: string[]) =>
      standingComparisons(parseComparisonLog(lines.join('\n'))).map((c) => 'outcome' in c && c.outcome);
    expect(outcomes([left, right, '{"voids":1}'])).toEqual(['left']);
    expect(outcomes([left, '{"voids":0}', right])).toEqual(['right']);
    const indexed = (line: string, i: number) => line.replace('"type"', `"trialIndex":${i},"type"`);
    expect(outcomes([indexed(left, 5), '{"voids":5}', indexed(right, 5)])).toEqual(['right']);
  });
});

test('decided pairs are what was shown and chosen', () => {
  const pairs = (line: string) => standingComparisons(parseComparisonLog(line)).flatMap(decidedPairs);
  expect(pairs(left)).toEqual([{ winner: 'b', loser: 'a' }]);
  expect(pairs(left.replace('"left"', '"tie"'))).toEqual([]);
  expect(pairs('{"type":"best","items":["a","b","c"],"winner":"b"}')).toEqual([
    { winner: 'b', loser: 'a' },
    { winner: 'b', loser: 'c' },
  ]);
  expect(pairs('{"type":"best","items":["a","b"],"outcome":"skip"}')).toEqual([]);
  expect(pairs('{"type":"rank","items":["a","b","c"],"order":["c","a","b"]}')).toHaveLength(3);
});
