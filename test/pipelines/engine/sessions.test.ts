import { expect, test } from 'vitest';
import type { Question } from '#pipelines/engine/contract.ts';
import { votes } from '#pipelines/store/sessions.ts';
import { generated, type TestEngine, testEngine } from '#test/support/engine.ts';

async function rankSession(t: TestEngine, prompts = ['red', 'blue'], count = 4, mode: 'pair' | 'best-of-n' = 'pair') {
  const jobId = await generated(t, prompts, count);
  return t.engine.call('sessions.create', { name: 'Mine', mode, jobIds: [jobId], seed: 3 });
}

/** Answers by a hidden preference: the picture with the larger hash. */
function byHash({ slots: [left, right] }: Question): 'left' | 'right' {
  return left!.hash > right!.hash ? 'left' : 'right';
}

test('a question shows two pictures of one prompt and stays the same until it is answered', async () => {
  const t = testEngine();
  const { id } = await rankSession(t);
  const first = await t.engine.call('sessions.question', { id });
  expect(await t.engine.call('sessions.question', { id })).toEqual(first);
  const { samples } = await t.engine.call('samples.list', {});
  const shown = first!.slots.map((slot) => samples.find((sample) => sample.id === slot.sampleId)!);
  expect(new Set(shown.map(({ prompt }) => prompt))).toEqual(new Set([first!.prompt]));
  expect(shown[0]!.id).not.toBe(shown[1]!.id);
});

test('votes rank the pictures as their voter does, become enough, and foretell each other', async () => {
  const t = testEngine();
  const { id } = await rankSession(t, ['red', 'blue', 'green'], 4);
  let question = await t.engine.call('sessions.question', { id });
  expect(question!.enough).toBe(false);
  for (let n = 1; question && n <= 36; n++) {
    expect(question).toMatchObject({ number: n, total: null });
    ({ next: question } = await t.engine.call('sessions.vote', {
      trialId: question.trialId,
      outcome: byHash(question),
    }));
  }
  // Every pair of three times four pictures was asked twice: 36 questions, then none.
  expect(question).toBeNull();
  const result = await t.engine.call('sessions.standings', { id });
  expect(result).toMatchObject({ votes: 36, enough: true });
  expect(result.heldOutAccuracy).toBeGreaterThan(0.8);
  for (const prompt of ['red', 'blue', 'green']) {
    const own = result.standings.filter((standing) => standing.prompt === prompt);
    expect(own.map(({ hash }) => hash)).toEqual(
      own
        .map(({ hash }) => hash)
        .sort()
        .reverse(),
    );
    expect(own.reduce((sum, { utility }) => sum + utility, 0)).toBeCloseTo(0, 6);
  }
});

test('repeating a vote is harmless, changing it is refused', async () => {
  const t = testEngine();
  const { id } = await rankSession(t);
  const { trialId } = (await t.engine.call('sessions.question', { id }))!;
  const once = await t.engine.call('sessions.vote', { trialId, outcome: 'left', strong: true, responseMs: 812 });
  const twice = await t.engine.call('sessions.vote', { trialId, outcome: 'left' });
  expect(twice).toEqual(once);
  expect(once.session.votes).toBe(1);
  await expect(t.engine.call('sessions.vote', { trialId, outcome: 'right' })).rejects.toMatchObject({
    code: 'vote/already-answered',
  });
  expect(votes.ofSession(t.project.db, id)).toMatchObject([{ strong: true, responseMs: 812, outcome: 'left' }]);
});

test('undo voids the last vote, keeps it in the file, and asks its question again', async () => {
  const t = testEngine();
  const { id } = await rankSession(t);
  const first = (await t.engine.call('sessions.question', { id }))!;
  const { next } = await t.engine.call('sessions.vote', { trialId: first.trialId, outcome: 'left' });
  await t.engine.call('sessions.vote', { trialId: next!.trialId, outcome: 'tie' });
  const undone = await t.engine.call('sessions.undo', { id });
  expect(undone.question).toEqual(next);
  expect(undone.session.votes).toBe(1);
  expect(votes.history(t.project.db, id).map(({ outcome, voidedAt }) => [outcome, voidedAt === null])).toEqual([
    ['left', true],
    ['tie', false],
  ]);
  const again = await t.engine.call('sessions.vote', { trialId: next!.trialId, outcome: 'right' });
  expect(again.session.votes).toBe(2);
  await t.engine.call('sessions.undo', { id });
  await t.engine.call('sessions.undo', { id });
  // Nothing is left to undo: nothing happens.
  expect((await t.engine.call('sessions.undo', { id })).session.votes).toBe(0);
  expect(await t.engine.call('sessions.question', { id })).toMatchObject({ trialId: first.trialId, number: 1 });
});

test('best of n: the winner must have been shown; skip and both-bad are the only other answers', async () => {
  const t = testEngine();
  const { id } = await rankSession(t, ['red'], 6, 'best-of-n');
  const question = (await t.engine.call('sessions.question', { id }))!;
  expect(question.slots).toHaveLength(4);
  const vote = (answer: object) => t.engine.call('sessions.vote', { trialId: question.trialId, ...answer });
  for (const answer of [{}, { outcome: 'left' }, { winnerId: 'sample-0' }, { outcome: 'skip', winnerId: 'x' }]) {
    await expect(vote(answer)).rejects.toMatchObject({ code: 'vote/invalid' });
  }
  const winnerId = question.slots[2]!.sampleId;
  const { session, next } = await vote({ winnerId });
  expect(session.votes).toBe(1);
  expect(next!.trialId).not.toBe(question.trialId);
  const { standings } = await t.engine.call('sessions.standings', { id });
  expect(standings[0]!.sampleId).toBe(winnerId);
});

test('a session needs two pictures of one prompt', async () => {
  const t = testEngine();
  const jobId = await generated(t, ['red', 'blue'], 1);
  await expect(t.engine.call('sessions.create', { name: 'x', jobIds: [jobId] })).rejects.toMatchObject({
    code: 'session/too-few',
  });
});

test('an input that does not fit is refused by name of its field, before any handler sees it', async () => {
  const t = testEngine();
  const wrong = { name: '', jobIds: ['x'] };
  await expect(t.engine.call('sessions.create', wrong)).rejects.toMatchObject({
    code: 'input/invalid',
    message: expect.stringContaining('sessions.create.name'),
  });
  await expect(t.engine.call('no.such' as 'app.info', {})).rejects.toMatchObject({ code: 'input/unknown-procedure' });
});

test('with a hundred prompts the next question still comes within a few frames', async () => {
  const t = testEngine();
  const { id } = await rankSession(
    t,
    Array.from({ length: 100 }, (_, i) => `prompt ${i}`),
    4,
  );
  let question = await t.engine.call('sessions.question', { id });
  const times: number[] = [];
  for (let n = 0; n < 60 && question; n++) {
    const start = performance.now();
    ({ next: question } = await t.engine.call('sessions.vote', {
      trialId: question.trialId,
      outcome: byHash(question),
    }));
    times.push(performance.now() - start);
  }
  const median = times.sort((a, b) => a - b)[30]!;
  // A frame is 16 ms; the machine may be busy with other things.
  expect(median).toBeLessThan(100);
});
