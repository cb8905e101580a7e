import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { CONTRACT_VERSION } from '#pipelines/engine/contract.ts';
import { startHttpServer } from '#pipelines/engine/http-server.ts';
import { portWire, serveWire } from '#pipelines/engine/wire.ts';
import { generated, type TestEngine, TINY, temporaryFolder, testEngine } from '#test/support/engine.ts';

/** The window's end of a line: every message received so far, and the end of the line. */
interface Client {
  readonly received: { t: string; id?: number; topic?: string; [key: string]: unknown }[];
  readonly closed: Promise<void>;
  send(message: unknown): void;
}

async function overPort(t: TestEngine): Promise<Client> {
  const { port1, port2 } = new MessageChannel();
  serveWire(portWire(port1 as never), t.engine);
  const received: Client['received'] = [];
  port2.on('message', (message) => received.push(message));
  onTestFinished(() => port2.close());
  const closed = new Promise<void>((resolve) => port2.on('close', () => resolve()));
  return { received, closed, send: (message) => port2.postMessage(message) };
}

async function overSocket(t: TestEngine): Promise<Client> {
  const samples = join(t.directory, 'samples');
  const server = await startHttpServer({ engine: t.engine, renderer: temporaryFolder(), samples });
  onTestFinished(() => server.close());
  const cookie = (await fetch(server.url, { redirect: 'manual' })).headers.get('set-cookie')!.split(';')[0]!;
  const origin = `http://127.0.0.1:${server.port}`;
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/ws`, { origin, headers: { cookie } });
  const received: Client['received'] = [];
  socket.on('message', (data) => received.push(JSON.parse(String(data))));
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  await new Promise((resolve) => socket.on('open', resolve));
  return {
    received,
    closed,
    send: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
  };
}

const wires = { MessagePort: overPort, WebSocket: overSocket };
const hello = { t: 'hello', version: CONTRACT_VERSION };

for (const [name, connect] of Object.entries(wires)) {
  const answerTo = (client: Client, id: number) =>
    expect.poll(() => client.received.find((message) => message.id === id), { timeout: 5000 });

  test(`${name}: hello first, then calls are answered by their number and events follow`, async () => {
    const t = testEngine();
    const client = await connect(t);
    client.send(hello);
    client.send({ t: 'call', id: 1, m: 'app.info', p: {} });
    client.send({ t: 'call', id: 2, m: 'models.list', p: {} });
    await answerTo(client, 1).toMatchObject({ t: 'ok', r: { host: 'browser', project: t.directory } });
    await answerTo(client, 2).toMatchObject({ t: 'ok', r: [{ id: TINY, usable: true }] });
    expect(client.received[0]).toEqual(hello);
    await generated(t, ['red'], 2);
    const topics = () => client.received.filter(({ t: type }) => type === 'ev').map(({ topic }) => topic);
    await expect.poll(() => topics().filter((topic) => topic === 'sample').length).toBe(2);
    expect(topics()).toContain('job');
  });

  test(`${name}: a failing call is answered with code, message and hint`, async () => {
    const client = await connect(testEngine());
    client.send(hello);
    client.send({ t: 'call', id: 5, m: 'sessions.question', p: { id: 'none' } });
    await answerTo(client, 5).toMatchObject({ t: 'err', e: { code: 'session/unknown', hint: expect.any(String) } });
    client.send({ t: 'call', id: 6, m: 'constructor', p: {} });
    await answerTo(client, 6).toMatchObject({ t: 'err', e: { code: 'input/unknown-procedure' } });
    client.send({ t: 'call', id: 7, m: 'jobs.pause', p: { id: 3 } });
    await answerTo(client, 7).toMatchObject({ t: 'err', e: { code: 'input/invalid' } });
  });

  test.each([
    ['another version', { t: 'hello', version: CONTRACT_VERSION + 1 }],
    ['a call before hello', { t: 'call', id: 1, m: 'app.info', p: {} }],
    ['something else', { t: 'ok', id: 1, r: {} }],
  ])(`${name}: %s ends the line unanswered`, async (_what, message) => {
    const client = await connect(testEngine());
    client.send(message);
    await client.closed;
    expect(client.received).toEqual([hello]);
  });
}

test('WebSocket: text that is no JSON ends the line', async () => {
  const client = await overSocket(testEngine());
  client.send(hello);
  client.send('{"t":');
  await client.closed;
});
