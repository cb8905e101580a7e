import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { rewardsDoc, rewardsDocPath } from '#build/scripts/generate-rewards-doc.ts';

test('docs/rewards.md is what the rewards say; write it again with: node build/scripts/generate-rewards-doc.ts', () => {
  expect(readFileSync(rewardsDocPath, 'utf8')).toBe(rewardsDoc());
});
