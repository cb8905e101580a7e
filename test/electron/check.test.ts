import { describe, expect, test } from 'vitest';
import { tally } from '#build/scripts/check.ts';

const file = (status: string, tests: number) => ({
  name: 'f',
  status,
  assertionResults: Array.from({ length: tests }, () => ({})),
});
const report = (passed: number, failed: number, success: boolean, testResults: unknown[], pending = 0) => ({
  numPassedTests: passed,
  numFailedTests: failed,
  numPendingTests: pending,
  success,
  testResults,
});

describe('the last line of a check', () => {
  test('counts what vitest counted', () => {
    expect(tally(report(5, 2, false, [file('failed', 7)], 3))).toEqual({ passed: 5, failed: 2, skipped: 3 });
    expect(tally(report(5, 0, true, [file('passed', 5)]))).toEqual({ passed: 5, failed: 0, skipped: 0 });
  });
  test('a file that could not be loaded is a failure, though it has no failing test', () => {
    expect(tally(report(5, 0, false, [file('passed', 5), file('failed', 0)]))).toMatchObject({ failed: 1 });
  });
  test('an error outside any test is a failure', () => {
    expect(tally(report(5, 0, false, [file('passed', 5)]))).toMatchObject({ failed: 1 });
  });
});
