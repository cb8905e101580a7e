import { expect, test } from 'vitest';
import { runCli } from '#test/pipelines/cli/run-cli.ts';

test('prints one line per finding and succeeds where everything needed works', async () => {
  const run = await runCli('doctor');
  expect(run.out).toMatch(/ ok {3}Node: 24\./);
  expect(run.out).toMatch(/ ok {3}Provider cpu: starts in [\d.]+ s, [\d.]+ ms for two small/);
  expect([run.code, run.err]).toEqual([0, '']);
});
