import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';

/**
 * `npm run check`: types, lint, unused code, then all tests. Every step runs even when an earlier one fails, so that one run
 * shows all there is to do. The last line is always `N passed, N failed`; a step that fails counts as one failed.
 */

const root = resolve(import.meta.dirname, '../..');

/** What vitest's JSON reporter says, as far as it is needed. */
const report = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number().default(0),
  success: z.boolean(),
  testResults: z.array(z.object({ name: z.string(), status: z.string(), assertionResults: z.array(z.unknown()) })),
});

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/**
 * Counts of a test run. A file that could not be loaded has no tests to fail, and an error outside any test fails the run
 * only: both count as one failed.
 */
export function tally(json: unknown): Tally {
  const run = report.parse(json);
  const unloaded = run.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  ).length;
  const failed = run.numFailedTests + unloaded;
  return {
    passed: run.numPassedTests,
    failed: failed === 0 && !run.success ? 1 : failed,
    skipped: run.numPendingTests,
  };
}

function step(title: string, program: string, args: readonly string[]): boolean {
  console.log(`\n— ${title}`);
  const { status } = spawnSync(join(root, 'node_modules/.bin', program), args, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  return status === 0;
}

function runTests(): Tally {
  const folder = mkdtempSync(join(tmpdir(), 'northlight-check-'));
  const file = join(folder, 'report.json');
  try {
    const succeeded = step('tests', 'vitest', ['run', '--reporter=default', '--reporter=json', `--outputFile=${file}`]);
    const counts = tally(JSON.parse(readFileSync(file, 'utf8')));
    return succeeded || counts.failed > 0 ? counts : { ...counts, failed: 1 };
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return { passed: 0, failed: 1, skipped: 0 };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const steps = [
    ['types', 'tsc', ['-p', 'tsconfig.json']],
    ['lint', 'biome', ['check', '.']],
    ['unused code', 'knip', []],
  ] as const;
  const broken = steps.filter(([title, program, args]) => !step(title, program, args)).map(([title]) => title);
  const tests = runTests();
  if (tests.skipped > 0) console.log(`${tests.skipped} skipped`);
  if (broken.length > 0) console.log(`Failed besides tests: ${broken.join(', ')}`);
  const failed = tests.failed + broken.length;
  console.log(`${tests.passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && tests.passed > 0 ? 0 : 1;
}
