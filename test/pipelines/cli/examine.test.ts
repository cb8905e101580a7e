import { expect, test } from 'vitest';
import { examine } from '#pipelines/cli/examine.ts';

test('every part of the machine is looked at, and what is bad says so', async () => {
  const seen: string[] = [];
  const { checks } = await examine('/no/such/folder/yet', { progress: (stage) => seen.push(stage) });
  const names = checks.map((check) => check.name);
  for (const name of ['Node', 'Processor', 'Memory', 'Disk', 'SQLite', 'Pictures', 'Window']) {
    expect(names).toContain(name);
    expect(seen).toContain(name);
  }
  expect(checks.find((check) => check.name === 'Provider cpu')).toMatchObject({ state: 'ok' });
  expect(checks.find((check) => check.name === 'Pictures')).toMatchObject({ state: 'ok' });
  expect(checks.filter((check) => check.state === 'bad')).toEqual([]);
});
