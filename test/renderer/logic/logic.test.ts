import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import type { Field } from '#pipelines/engine/contract.ts';
import { nearest, range, smooth, ticks } from '#renderer/logic/chart.ts';
import { changedConfig, fieldLabel, fieldProblem, splitFields } from '#renderer/logic/fields.ts';
import { formatBytes, formatCount, formatDuration, formatNumber, formatPercent } from '#renderer/logic/format.ts';
import { ladder } from '#renderer/logic/ladder.ts';
import { measures, series, withPoint } from '#renderer/logic/measures.ts';
import { addPrompt, groupByPrompt, promptLines } from '#renderer/logic/prompts.ts';
import { chordLabel, matches, ownsKeys } from '#renderer/logic/shortcuts.ts';
import { verdict } from '#renderer/logic/verdict.ts';

const finite = fc.double({ min: -1e6, max: 1e6, noNaN: true });

describe('charts', () => {
  property.prop([finite, fc.integer({ min: 1, max: 50 }), fc.double({ min: 0, max: 0.99, noNaN: true })])(
    'smoothing leaves a constant alone from the first point on',
    (y, n, weight) => {
      for (const p of smooth(
        Array.from({ length: n }, (_, x) => ({ x, y })),
        weight,
      ))
        expect(p.y).toBeCloseTo(y, 4);
    },
  );
  test('one value that is not a number leaves the smooth line whole after it', () => {
    const line = smooth(
      [1, Number.NaN, 1, 1].map((y, x) => ({ x, y })),
      0.9,
    );
    expect(line.map((p) => p.y)).toEqual(
      [1, Number.NaN, 1, 1].map((y) => (Number.isNaN(y) ? y : expect.closeTo(y, 9))),
    );
  });
  property.prop([finite, fc.double({ min: 1e-6, max: 1e6, noNaN: true }), fc.integer({ min: 2, max: 8 })])(
    'ticks are evenly spaced inside the range and never more than about twice as asked',
    (low, span, count) => {
      const high = low + span;
      fc.pre(high > low);
      const all = ticks(low, high, count);
      expect(all.length).toBeLessThanOrEqual(2 * count + 2);
      for (const value of all) {
        expect(value).toBeGreaterThanOrEqual(low - span * 1e-6 - Math.abs(low) * 1e-9);
        expect(value).toBeLessThanOrEqual(high + span * 1e-6 + Math.abs(high) * 1e-9);
      }
    },
  );
  test('axis values carry no binary dust', () => {
    expect(ticks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(0.05, 0.35, 3)).toEqual([0.1, 0.2, 0.3]);
  });
  property.prop([fc.array(finite, { minLength: 1 })])('every finite value lies strictly inside its range', (values) => {
    const [low, high] = range(values.map((y, x) => ({ x, y })));
    expect(low).toBeLessThan(high);
    for (const y of values) expect(y >= low && y <= high).toBe(true);
  });
  test('the read-out takes the nearest step', () => {
    const points = [0, 20, 40].map((x) => ({ x, y: x }));
    expect([-5, 9, 11, 31, 99].map((x) => nearest(points, x))).toEqual([0, 0, 1, 2, 2]);
    expect(nearest([], 3)).toBe(-1);
  });
});

describe('words for numbers', () => {
  test('time left is told as a person would', () => {
    expect([3, 42, 58, 200, 3599, 3600, 4800].map(formatDuration)).toEqual([
      ...['under 5 s', '40 s', '1 min', '3 min', '1 h', '1 h', '1 h 20 min'],
    ]);
  });
  test('a share never rounds to all or none before it is', () => {
    expect([0, 0.001, 0.5, 0.999, 1].map(formatPercent)).toEqual(['0%', '1%', '50%', '99%', '100%']);
  });
  test('numbers, sizes and counts are short', () => {
    expect([0, 0.71234, -0.00002, 123456789, Number.NaN].map(formatNumber)).toEqual([
      '0',
      '0.712',
      '−2.0e−5',
      '1.2e8',
      'not a number',
    ]);
    expect([512, 13_100_000, 3_440_000_000].map(formatBytes)).toEqual(['512 B', '13 MB', '3.4 GB']);
    expect([900, 3_240_000, 859_520_964].map(formatCount)).toEqual(['900', '3.2 M', '860 M']);
  });
});

describe('prompts', () => {
  test('blank lines and edges do not count', () =>
    expect(promptLines('\n a tulip \n\n\tb\n')).toEqual(['a tulip', 'b']));
  test('an example is added once', () => expect(addPrompt(addPrompt('a', 'b'), 'b')).toBe('a\nb'));
  property.prop([fc.array(fc.record({ prompt: fc.constantFrom('a', 'b', 'c'), n: fc.nat() }))])(
    'grouping keeps everything, in order within a group',
    (items) => {
      const groups = groupByPrompt(items);
      expect(new Set(groups.map((g) => g.prompt)).size).toBe(groups.length);
      for (const { prompt, items: grouped } of groups)
        expect(grouped).toEqual(items.filter((i) => i.prompt === prompt));
    },
  );
});

describe('forms from fields', () => {
  const field = (change: Partial<Field>): Field => ({
    ...{ key: 'steps', type: 'integer', default: 10, minimum: 1, maximum: 100, choices: [], description: '' },
    ...change,
  });
  test('a value outside its definition is named before it is sent', () => {
    expect([0, 101, 1.5, Number.NaN, null].map((v) => fieldProblem(field({}), v))).toEqual([
      ...['At least 1.', 'At most 100.', 'Enter a whole number.', 'Enter a number.', 'Enter a number.'],
    ]);
    expect([1, 100].map((v) => fieldProblem(field({}), v))).toEqual([null, null]);
    expect(fieldProblem(field({ default: null }), null)).toBeNull();
  });
  test('only departures from the defaults are sent', () => {
    const fields = [field({}), field({ key: 'mask', type: 'boolean', default: true })];
    expect(changedConfig(fields, { steps: 10, mask: false, gone: 3 })).toEqual({ mask: false });
  });
  test('no field is lost between basic and advanced', () => {
    const fields = ['odd', 'beta', 'steps', 'other'].map((key) => field({ key }));
    const { basic, advanced } = splitFields(fields);
    expect(basic.map((f) => f.key)).toEqual(['steps', 'beta']);
    expect(advanced.map((f) => f.key)).toEqual(['odd', 'other']);
    expect(splitFields([field({ key: 'odd' })]).basic).toHaveLength(1);
  });
  test('keys read as words', () =>
    expect(['learningRate', 'kl-target', 'cpg', 'oracle-a: SK-N-SH'].map(fieldLabel)).toEqual([
      'Learning rate',
      'Kl target',
      'CpG',
      'Oracle a: SK-N-SH',
    ]));
});

describe('measures of a run', () => {
  const points = [0, 1, 2].map((step) => ({ step, values: { loss: step, kl: 0, other: 1 } }));
  test('a resumed run replaces the steps it repeats and stays ascending', () => {
    const again = withPoint(points, { step: 1, values: { loss: 9 } });
    expect(again.map((p) => p.step)).toEqual([0, 1]);
    expect(series(again, 'loss').map((p) => p.y)).toEqual([0, 9]);
  });
  test('known measures come first, nothing is hidden', () => {
    const { main, rest } = measures(points);
    expect([...main, ...rest].map((m) => m.key)).toEqual(['loss', 'kl', 'other']);
  });
});

describe('shortcuts', () => {
  const press = (key: string, more: Partial<KeyboardEvent> = {}) => ({
    key,
    ctrlKey: false,
    metaKey: false,
    altKey: false,
    shiftKey: false,
    ...more,
  });
  test('a chord answers to exactly its own keys', () => {
    expect(matches('ArrowLeft', press('ArrowLeft'))).toBe(true);
    expect(matches('ArrowLeft', press('ArrowLeft', { shiftKey: true }))).toBe(false);
    expect(matches('Shift+ArrowLeft', press('ArrowLeft', { shiftKey: true }))).toBe(true);
    expect(matches('1', press('1', { ctrlKey: true }))).toBe(false);
    expect(matches('Ctrl+1', press('1', { metaKey: true }))).toBe(true);
    expect(matches('s', press('S', { shiftKey: true }))).toBe(false);
    expect(matches('s', press('s', { altKey: true }))).toBe(false);
  });
  test('the question mark works with or without Shift, digits also by place', () => {
    expect(matches('?', press('?', { shiftKey: true }))).toBe(true);
    expect(matches('?', press('?'))).toBe(true);
    expect(matches('1', press('&', { code: 'Digit1' }))).toBe(true);
  });
  test('text fields, selects and sliders keep their keys, tick boxes and buttons do not', () => {
    const owns = [
      { tagName: 'TEXTAREA' },
      { tagName: 'SELECT' },
      { tagName: 'INPUT', type: 'text' },
      { tagName: 'INPUT', type: 'range' },
    ];
    for (const element of owns) expect(ownsKeys(element)).toBe(true);
    for (const element of [{ tagName: 'INPUT', type: 'checkbox' }, { tagName: 'BUTTON' }, null])
      expect(ownsKeys(element)).toBe(false);
  });
  test('keys are printed as on a keyboard', () => {
    expect(['Ctrl+Enter', 'Shift+ArrowLeft', ' ', 's'].map(chordLabel)).toEqual(['Ctrl ↵', '⇧ ←', 'Space', 'S']);
  });
});

test('the ladder puts the best first, every whisker and zero inside the scale', () => {
  const standings = [-2, 3, 0.5].map((utility, i) => ({
    sampleId: `${i}`,
    hash: '',
    prompt: 'p',
    utility,
    sd: 1 + i,
    comparisons: 1,
  }));
  const { rungs, zero } = ladder(standings);
  expect(rungs.map((r) => r.utility)).toEqual([3, 0.5, -2]);
  for (const at of [zero, ...rungs.flatMap((r) => [r.from, r.at, r.to])]) expect(at >= 0 && at <= 1).toBe(true);
});

test('only an interval that leaves out the half decides', () => {
  expect(verdict([0.51, 0.8], 'A', 'B')).toContain('You prefer B');
  expect(verdict([0.2, 0.49], 'A', 'B')).toContain('You prefer A');
  expect(verdict([0.45, 0.9], 'A', 'B')).toContain('do not settle');
});
