import { expect, test } from 'vitest';
import { runCli } from '#test/pipelines/cli/run-cli.ts';

test('--list runs nothing', async () => {
  const run = await runCli('bench', '--list', '--json');
  expect(run.result()).toMatchObject({ results: {} });
});

test('an unknown benchmark is bad input', async () => {
  expect(await runCli('bench', 'no-such-benchmark')).toMatchObject({
    code: 2,
    err: expect.stringContaining('no benchmark'),
  });
});
