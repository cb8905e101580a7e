import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { WireMessage } from '#pipelines/engine/contract.ts';
import { createClient } from '#renderer/transport/client.ts';
import type { ChannelEvents } from '#renderer/transport/wire.ts';
import { type Demo, openDemo, transportTo } from '#test/renderer/support/demo-engine.ts';

/** Waits as long as a busy machine may need. */
const eventually = <T>(look: () => T) => expect.poll(look, { timeout: 30_000 });

let demo: Demo | null = null;
afterEach(async () => {
  await demo?.close();
  demo = null;
});

/** A line whose other end is the test itself. */
function byHand() {
  const sent: WireMessage[] = [];
  const lines: ChannelEvents[] = [];
  const client = createClient(
    (events) => {
      lines.push(events);
      return { send: (message) => sent.push(message), close: () => {} };
    },
    [1, 5],
  );
  client.start();
  return { client, sent, lines };
}

describe('client', () => {
  test('says hello first, and holds calls back until the engine has said hello', async () => {
    const { client, sent, lines } = byHand();
    const answer = client.call('jobs.list', {});
    lines[0]?.opened();
    expect(sent).toEqual([{ t: 'hello', version: 1 }]);
    lines[0]?.message({ t: 'hello', version: 1 });
    expect(sent[1]).toMatchObject({ t: 'call', m: 'jobs.list', p: {} });
    lines[0]?.message({ t: 'ok', id: 1, r: [] });
    expect(await answer).toEqual([]);
    client.stop();
  });

  test('an engine of another version is refused with both versions named, and is not tried again', async () => {
    const { client, lines } = byHand();
    const call = client.call('jobs.list', {});
    lines[0]?.opened();
    lines[0]?.message({ t: 'hello', version: 2 });
    await expect(call).rejects.toMatchObject({ code: 'engine/version', message: expect.stringMatching(/1.*2/) });
    lines[0]?.closed('gone');
    await sleep(20);
    expect(lines).toHaveLength(1);
    await expect(client.call('app.info', {})).rejects.toMatchObject({ code: 'engine/version' });
  });

  test('a call in flight when the line breaks is rejected once and never sent again', async () => {
    const { client, sent, lines } = byHand();
    lines[0]?.message({ t: 'hello', version: 1 });
    const vote = client.call('sessions.vote', { trialId: 't', outcome: 'left' });
    lines[0]?.closed('cut');
    await expect(vote).rejects.toMatchObject({ code: 'engine/disconnected' });
    await expect(client.call('jobs.list', {})).rejects.toMatchObject({ code: 'engine/disconnected' });
    await eventually(() => lines.length).toBe(2);
    const before = sent.length;
    lines[1]?.opened();
    lines[1]?.message({ t: 'hello', version: 1 });
    expect(sent.slice(before)).toEqual([{ t: 'hello', version: 1 }]);
    client.stop();
  });

  test('pauses grow between attempts and start small again after a connection', async () => {
    const { client, lines } = byHand();
    const delays: number[] = [];
    client.onConnection((c) => c.phase === 'waiting' && delays.push(c.delayMs));
    for (let i = 0; i < 3; i++) {
      lines[i]?.closed('no');
      await eventually(() => lines.length).toBe(i + 2);
    }
    lines[3]?.message({ t: 'hello', version: 1 });
    lines[3]?.closed('cut');
    expect(delays).toEqual([1, 5, 5, 1]);
    client.stop();
  });

  test('what a line that was given up still reports is ignored', async () => {
    const { client, lines } = byHand();
    lines[0]?.closed('cut');
    await eventually(() => lines.length).toBe(2);
    lines[0]?.message({ t: 'hello', version: 1 });
    expect(client.connection.phase).toBe('connecting');
    client.stop();
  });

  test('against the engine: answers, errors with code and hint, events, and a fresh line after a cut', async () => {
    demo = openDemo();
    const line = transportTo(demo.engine);
    const client = createClient(line.transport, [1]);
    const samples: string[] = [];
    client.on('sample', ({ sample }) => samples.push(sample.prompt));
    client.start();
    expect((await client.call('app.info', {})).host).toBe('browser');
    await expect(client.call('sessions.question', { id: 'nowhere' })).rejects.toMatchObject({
      code: expect.stringContaining('/'),
      hint: expect.any(String),
    });
    line.cut();
    await eventually(() => client.connection.phase).toBe('ready');
    expect(line.opened).toBe(2);
    const model = (await client.call('models.list', {})).find((m) => m.usable);
    await client.call('generate.start', { modelId: model?.id ?? '', prompts: ['a red tulip'], count: 2, seed: 3 });
    await eventually(() => samples).toEqual(['a red tulip', 'a red tulip']);
    client.stop();
  });
});
