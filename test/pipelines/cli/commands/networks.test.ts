import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { runCli } from '#test/pipelines/cli/run-cli.ts';

/** Commands that run networks, on input that cannot work: refused early, in words, and with nothing written. */
const folder = mkdtempSync(join(tmpdir(), 'northlight-commands-'));
afterAll(() => rmSync(folder, { recursive: true }));
const absent = join(folder, 'no-such-model');
const out = join(folder, 'out');

test.each([
  [['sample', '--model', absent, '--out', out], /no-such-model/],
  [['sample', '--model', absent, '--out', out, '--size', '64'], /--size: write it as WIDTHxHEIGHT/],
  [['sample', '--model', absent, '--out', out, '--scheduler', 'dimm'], /--scheduler/],
  [['tune', 'd3p', '--model', absent, '--project', out], /no algorithm "d3p".*d3po/],
  [['tune', 'd3po', '--model', absent], /--project is missing/],
  [['tune', 'd3po', '--model', absent, '--project', out, '--set', 'bta=1'], /no setting "bta".*beta/],
  [['train', 'flroa', '--out', out], /no recipe "flroa".*flora/],
  [['lora', 'verify', join(folder, 'no.safetensors'), '--model', absent], /no-such-model|no\.safetensors/],
])('%j', async (args, message) => {
  const run = await runCli(...args);
  expect(run.err).toMatch(message);
  expect(run.err.trimEnd().split('\n')).toHaveLength(1);
  expect([run.code, run.out]).toEqual([2, '']);
  expect(existsSync(out)).toBe(false);
});

test.each(['d3po'])('tune %s --help lists its settings with their defaults', async (algorithm) => {
  const run = await runCli('tune', algorithm, '--help');
  expect(run.out).toMatch(/Settings, each as --set KEY=VALUE[\s\S]*beta .*default/);
});

test('train flora --help lists its settings', async () => {
  expect((await runCli('train', 'flora', '--help')).out).toContain('Settings, each as --set KEY=VALUE');
});
