import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Question, Session } from '#pipelines/engine/contract.ts';
import { type Client, createClient } from '#renderer/transport/client.ts';
import { createVoting, voteInput } from '#renderer/voting/voting-store.ts';
import { type Demo, openDemo, transportTo } from '#test/renderer/support/demo-engine.ts';

/** Waits as long as a busy machine may need. */
const eventually = <T>(look: () => T) => expect.poll(look, { timeout: 30_000 });

let demo: Demo;
let client: Client;
let line: ReturnType<typeof transportTo>;
beforeEach(() => {
  demo = openDemo();
  line = transportTo(demo.engine);
  client = createClient(line.transport, [1]);
  client.start();
});
afterEach(async () => {
  client.stop();
  await demo.close();
});

async function session(mode: 'pair' | 'best-of-n' = 'pair'): Promise<Session> {
  const models = await client.call('models.list', {});
  const modelId = models.find((m) => m.usable)?.id ?? '';
  const job = await client.call('generate.start', {
    modelId,
    prompts: ['a red tulip', 'a blue lily'],
    count: 3,
    seed: 1,
  });
  await eventually(async () => (await client.call('jobs.list', {})).find((j) => j.id === job.id)?.state).toBe('done');
  return client.call('sessions.create', { name: 'test', mode, jobIds: [job.id] });
}

describe('voting against the engine', () => {
  test('a press shows at once; the next question only once the vote is stored', async () => {
    const { id } = await session();
    const sessions: Session[] = [];
    const voting = createVoting(client, id, (s) => sessions.push(s));
    await voting.load();
    const first = voting.store.getState().question;
    const vote = voting.vote({ kind: 'slot', slot: 0, strong: false });
    expect(voting.store.getState()).toMatchObject({ phase: 'sending', pressed: { slot: 0 }, question: first });
    await vote;
    const state = voting.store.getState();
    expect(state).toMatchObject({ phase: 'asking', pressed: null, changes: 1 });
    expect(state.question?.trialId).not.toBe(first?.trialId);
    expect(sessions.at(-1)?.votes).toBe(1);
    expect((await client.call('sessions.list', {})).find((s) => s.id === id)?.votes).toBe(1);
  });

  test('keys pressed while a vote is on its way cast no second vote', async () => {
    const { id } = await session();
    const voting = createVoting(client, id, () => {});
    await voting.load();
    await Promise.all([voting.vote({ kind: 'tie' }), voting.vote({ kind: 'tie' }), voting.undo()]);
    expect((await client.call('sessions.list', {})).find((s) => s.id === id)?.votes).toBe(1);
  });

  test('undo brings the very question back, in the same order, and takes the vote away', async () => {
    const { id } = await session();
    const voting = createVoting(client, id, () => {});
    await voting.load();
    const first = voting.store.getState().question;
    await voting.vote({ kind: 'slot', slot: 1, strong: true });
    await voting.undo();
    expect(voting.store.getState().question?.slots).toEqual(first?.slots);
    expect((await client.call('sessions.list', {})).find((s) => s.id === id)?.votes).toBe(0);
  });

  test('a vote lost with the line keeps its question; given again it counts once', async () => {
    const { id } = await session();
    const voting = createVoting(client, id, () => {});
    await voting.load();
    const { question } = voting.store.getState();
    const vote = voting.vote({ kind: 'slot', slot: 0, strong: false });
    line.cut();
    await vote;
    expect(voting.store.getState()).toMatchObject({
      phase: 'asking',
      error: { code: 'engine/disconnected' },
      question,
    });
    await eventually(() => client.connection.phase).toBe('ready');
    await voting.vote({ kind: 'slot', slot: 0, strong: false });
    expect((await client.call('sessions.list', {})).find((s) => s.id === id)?.votes).toBe(1);
  });

  test('thinking time runs from the moment the pictures are shown', async () => {
    const { id } = await session();
    let clock = 100;
    const sent: unknown[] = [];
    const watched: Client = {
      ...client,
      call: (name, input) => {
        sent.push([name, input]);
        return client.call(name, input);
      },
    };
    const voting = createVoting(
      watched,
      id,
      () => {},
      () => clock,
    );
    await voting.load();
    clock = 500;
    voting.shown();
    clock = 900;
    voting.shown();
    clock = 1750;
    await voting.vote({ kind: 'skip' });
    expect(sent.at(-1)).toEqual(['sessions.vote', expect.objectContaining({ outcome: 'skip', responseMs: 1250 })]);
  });

  test('best of several: a digit names its picture, a tie is no answer', async () => {
    const { id } = await session('best-of-n');
    const voting = createVoting(client, id, () => {});
    await voting.load();
    await voting.vote({ kind: 'tie' });
    await voting.vote({ kind: 'slot', slot: 8, strong: false });
    expect(voting.store.getState().changes).toBe(0);
    await voting.vote({ kind: 'slot', slot: 2, strong: false });
    expect(voting.store.getState().changes).toBe(1);
  });
});

test('the slot pressed is the picture that was shown there', () => {
  const question = {
    mode: 'best-of-n',
    slots: ['c', 'a', 'b'].map((sampleId) => ({ sampleId, hash: '' })),
  } as unknown as Question;
  expect(voteInput(question, { kind: 'slot', slot: 0, strong: false })).toMatchObject({ winnerId: 'c' });
  expect(voteInput({ ...question, mode: 'pair' }, { kind: 'slot', slot: 1, strong: true })).toEqual({
    outcome: 'right',
    strong: true,
  });
  expect(voteInput({ ...question, mode: 'pair' }, { kind: 'slot', slot: 2, strong: false })).toBeNull();
});
