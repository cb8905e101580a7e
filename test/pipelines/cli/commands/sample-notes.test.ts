import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { TOY_A, writeToySequenceModel } from '#test/support/masked-toy.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-sample-notes-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('sample tells once which words of a prompt the model does not read, and is silent when it reads all', async () => {
  const model = writeTinyModel(join(folder, 'pictures'));
  const run = (out: string, ...more: string[]) =>
    runCli('sample', '--model', model, '--steps', '1', '--threads', '1', '--out', join(folder, out), ...more);
  const long = `${'tulip '.repeat(200)}zebra`;
  const { err } = await run(
    'long',
    '--prompt',
    long,
    '--count',
    '5',
    '--batch',
    '2',
    '--negative',
    `${'red '.repeat(200)}owl`,
  );
  expect(err.split('\n').filter((line) => /does not read “[^”]*tulip zebra”/.test(line))).toHaveLength(1);
  expect(err.split('\n').filter((line) => /does not read “[^”]*red owl”/.test(line))).toHaveLength(1);
  expect((await run('short', '--prompt', 'a red tulip')).err).not.toMatch(/read/);
  expect(JSON.parse(readFileSync(join(folder, 'short', 'manifest.json'), 'utf8'))).toMatchObject({ provider: 'cpu' });
});

test('sample tells which options a masked model has no use for', async () => {
  const model = join(folder, 'sequences');
  writeToySequenceModel(model, { laws: [TOY_A] });
  const run = (...more: string[]) =>
    runCli('sample', '--model', model, '--threads', '1', '--out', join(folder, 'sequences-out'), ...more);
  expect((await run()).err).not.toMatch(/not used/);
  expect((await run('--eta', '1')).err).toMatch(/--eta.*not used/);
  expect((await run('--steps', '3', '--scheduler', 'masked-one-at-a-time')).err).toMatch(/--steps is not used/);
});
