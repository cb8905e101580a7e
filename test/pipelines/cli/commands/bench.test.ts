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

test('a benchmark takes settings of its own, which --help lists, and no others', async () => {
  const help = await runCli('bench', 'methods', '--help');
  expect(help.out).toMatch(/budget.*denoiser calls of a sample/s);
  expect(await runCli('bench', 'methods', '--set', 'bugdet=4')).toMatchObject({
    code: 2,
    err: expect.stringContaining('budget'),
  });
  expect((await runCli('bench', 'methods')).code).toBe(2);
});
