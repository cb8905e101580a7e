import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';

test('the command says what it wrote', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'northlight-bake-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const source = tinyFolder('sd1').write(join(folder, 'sd1'));
  const run = await runCli('models', 'bake', source, '--size', '16x16', '--out', join(folder, 'baked'));
  expect(run.code).toBe(0);
  expect(run.out).toMatch(/same output as the source/);
  expect(existsSync(join(folder, 'baked', 'unet', 'model.onnx'))).toBe(true);
});
