import { afterEach, expect, test } from 'vitest';
import { followEngine, upsert, useApp } from '#renderer/state/app.ts';
import { createClient } from '#renderer/transport/client.ts';
import { type Demo, openDemo, transportTo } from '#test/renderer/support/demo-engine.ts';

/** Waits as long as a busy machine may need. */
const eventually = <T>(look: () => T) => expect.poll(look, { timeout: 30_000 });

let demo: Demo | null = null;
afterEach(async () => {
  await demo?.close();
});

test('lists follow the engine’s events, and what was missed while the line was down is there after it', async () => {
  demo = openDemo();
  const { engine } = demo;
  const line = transportTo(engine);
  const client = createClient(line.transport, [150]);
  followEngine(client);
  client.start();
  await eventually(() => useApp.getState().models?.length).toBe(2);
  expect(useApp.getState().jobs).toEqual([]);

  const modelId = useApp.getState().models?.find((model) => model.usable)?.id ?? '';
  const generate = (seed: number) =>
    engine.call('generate.start', { modelId, prompts: ['a red tulip'], count: 2, seed });
  const first = await generate(1);
  await eventually(() => useApp.getState().jobs?.find((job) => job.id === first.id)?.state).toBe('done');

  line.cut();
  expect(useApp.getState().connection.phase).toBe('waiting');
  const missed = await generate(2);
  await engine.call('sessions.create', { name: 'missed', jobIds: [first.id] });
  expect(useApp.getState().jobs?.some((job) => job.id === missed.id)).toBe(false);
  await eventually(() => useApp.getState().sessions?.map((session) => session.name)).toEqual(['missed']);
  expect(useApp.getState().jobs?.map((job) => job.id)).toContain(missed.id);
  client.stop();
});

test('an item that changed keeps its place, a new one comes first', () => {
  const list = [
    { id: 'a', n: 1 },
    { id: 'b', n: 1 },
  ];
  expect(upsert(list, { id: 'b', n: 2 })).toEqual([
    { id: 'a', n: 1 },
    { id: 'b', n: 2 },
  ]);
  expect(upsert(list, { id: 'c', n: 1 }).map((item) => item.id)).toEqual(['c', 'a', 'b']);
  expect(upsert(null, { id: 'a' })).toEqual([{ id: 'a' }]);
});
