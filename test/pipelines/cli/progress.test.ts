import { describe, expect, test } from 'vitest';
import { barProgress, createRate, formatDuration, jsonProgress } from '#pipelines/cli/progress.ts';

/** A clock that the test moves. */
function clock() {
  let time = 0;
  return { now: () => time, pass: (ms: number) => (time += ms) };
}

describe('progress', () => {
  test('shows rate and time left from what was really done', () => {
    const { now, pass } = clock();
    const lines: string[] = [];
    const bar = barProgress(
      (text) => lines.push(text),
      () => 120,
      now,
    );
    bar.report('sampling', 0, 100);
    pass(10_000);
    bar.report('sampling', 20, 100);
    expect(lines.at(-1)).toContain('20/100 · 2.0/s · 40 s left · sampling');
  });

  test('never exceeds the width of the terminal, and leaves the line clean', () => {
    const lines: string[] = [];
    const bar = barProgress(
      (text) => lines.push(text),
      () => 30,
      clock().now,
    );
    bar.report('a very long description of what is going on', 1, 3);
    expect(lines[0]!.replace('\r\u001b[2K', '').length).toBeLessThan(30);
    bar.end();
    expect(lines.at(-1)).toBe('\r\u001b[2K');
  });

  test('a resumed or restarted count does not count as speed', () => {
    const { now, pass } = clock();
    const rate = createRate(now);
    expect(rate(50, 100)).toBeNull();
    pass(1000);
    expect(rate(60, 100)).toBe(10);
    expect(rate(0, 40)).toBeNull();
    pass(2000);
    expect(rate(2, 40)).toBe(1);
  });

  test('JSON lines are throttled, but the last one of a stage always comes', () => {
    const { now, pass } = clock();
    const lines: string[] = [];
    const json = jsonProgress((text) => lines.push(text), now);
    for (let i = 0; i <= 1000; i++) {
      json.report('s', i, 1000);
      pass(1);
    }
    const parsed = lines.map((line) => JSON.parse(line) as { done: number; etaSeconds: number | null });
    expect(lines.length).toBeLessThanOrEqual(12);
    expect(parsed.at(-1)).toEqual({ type: 'progress', stage: 's', done: 1000, total: 1000, etaSeconds: 0 });
    expect(parsed[1]!.etaSeconds).toBeCloseTo(0.9, 5);
  });

  test.each([
    [0.4, '0 s'],
    [59, '59 s'],
    [65, '1 min 05 s'],
    [3600 * 2 + 60 * 5, '2 h 05 min'],
  ])('%d seconds read as %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });
});
