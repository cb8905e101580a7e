import { expect, test } from 'vitest';
import { bundledModelsFolder } from '#pipelines/cli/bundled.ts';
import { sequenceRewardsToList } from '#pipelines/engine/sequence-rewards.ts';
import { createReward } from '#pipelines/rewards/index.ts';

test('a network that says several things is offered once for each, and each can be opened', async () => {
  const listed = await sequenceRewardsToList(bundledModelsFolder);
  const own = listed.filter(({ name }) => name.includes('enhancer-oracle-a'));
  expect(own.map(({ description }) => description)).toEqual(
    ['HepG2', 'K562', 'SK-N-SH'].map((cell) => `What the network enhancer-oracle-a says of ${cell}.`),
  );
  const scores: number[] = [];
  for (const { name } of own) {
    const reward = await createReward(name, { threads: 1 });
    scores.push((await reward.score([{ kind: 'sequence', sequence: 'ACGTTGCA'.repeat(25) }]))[0]!);
    await reward.close();
  }
  expect(new Set(scores).size).toBe(3);
});
