import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { opsDoc, opsDocPath } from '#build/scripts/generate-ops-doc.ts';

test('docs/ops.md is what the operators say; write it again with: node build/scripts/generate-ops-doc.ts', () => {
  expect(readFileSync(opsDocPath, 'utf8')).toBe(opsDoc());
});
