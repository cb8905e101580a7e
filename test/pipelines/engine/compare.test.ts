import { expect, test } from 'vitest';
import type { Question } from '#pipelines/engine/contract.ts';
import { type SampleRow, samples } from '#pipelines/store/samples.ts';
import { generated, type TestEngine, TINY, testEngine } from '#test/support/engine.ts';

/** An adapter tuned from a few votes on the fake model. */
async function tuned(t: TestEngine): Promise<string> {
  const jobId = await generated(t, ['red'], 4);
  const { id } = await t.engine.call('sessions.create', { name: 'votes', jobIds: [jobId] });
  let question = await t.engine.call('sessions.question', { id });
  for (let n = 0; n < 3; n++) {
    ({ next: question } = await t.engine.call('sessions.vote', { trialId: question!.trialId, outcome: 'left' }));
  }
  const run = await t.engine.call('tune.start', { algorithm: 'fake', modelId: TINY, sessionIds: [id], name: 'Tuned' });
  await t.reaches(run.jobId, 'done');
  return (await t.engine.call('adapters.list', {}))[0]!.id;
}

async function comparison(t: TestEngine, prompts: string[], perPrompt: number, seed = 7) {
  const adapterB = await tuned(t);
  const started = await t.engine.call('compare.start', {
    modelId: TINY,
    adapterA: null,
    adapterB,
    prompts,
    perPrompt,
    seed,
  });
  return { ...started, adapterB };
}

function sideOf(t: TestEngine, question: Question, slot: number): SampleRow['side'] {
  return samples.get(t.project.db, question.slots[slot]!.sampleId)!.side;
}

test('a blind comparison asks each pair once, hides who made what, and counts the answers right', async () => {
  const t = testEngine();
  const prompts = ['oak', 'elm', 'ash', 'fir'];
  const { job, session, adapterB } = await comparison(t, prompts, 5);
  const firstEvent = t.seen.length;
  expect(session).toMatchObject({ kind: 'blind', remaining: 20 });
  await t.reaches(job.id, 'done');

  // Neither lists nor events show a picture of the comparison before it is answered.
  expect((await t.engine.call('samples.list', { jobId: job.id })).total).toBe(0);
  expect(t.seen.slice(firstEvent).filter(({ name }) => name === 'sample' || name === 'preview')).toEqual([]);

  let question = await t.engine.call('sessions.question', { id: session.id });
  const leftSides: SampleRow['side'][] = [];
  const numbers: number[] = [];
  let votes = 0;
  while (question) {
    expect(Object.keys(question.slots[0]!).sort()).toEqual(['hash', 'sampleId']);
    const sides = [sideOf(t, question, 0), sideOf(t, question, 1)];
    expect([...sides].sort()).toEqual(['A', 'B']);
    leftSides.push(sides[0]!);
    numbers.push(question.number);
    // Prefers B but for two ties, one skip and three votes for A.
    const outcome =
      votes < 2
        ? 'tie'
        : votes === 2
          ? 'skip'
          : (sides[0] === 'B') === votes >= 6
            ? ('left' as const)
            : ('right' as const);
    ({ next: question } = await t.engine.call('sessions.vote', { trialId: question.trialId, outcome }));
    votes++;
  }
  expect(numbers).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  // A fair coin gives fewer than 3 or more than 17 of 20 once in 2500 seeds; this seed is fixed.
  expect(leftSides.filter((side) => side === 'A').length).toBeGreaterThan(2);
  expect(leftSides.filter((side) => side === 'A').length).toBeLessThan(18);

  const result = await t.engine.call('compare.result', { id: session.id });
  expect(result).toMatchObject({
    answered: 19,
    total: 20,
    winsA: 3,
    winsB: 14,
    ties: 2,
    labelA: 'Base model',
    labelB: 'Tuned',
  });
  expect(result.winRateB).toBeCloseTo(15 / 19, 12);
  // Wilson 95 % of 15/19, from the closed form with z = 1.959964.
  expect(result.interval![0]).toBeCloseTo(0.5667, 3);
  expect(result.interval![1]).toBeCloseTo(0.9149, 3);
  const perPrompt = result.perPrompt.map(({ winsA, winsB, ties }) => winsA + winsB + ties);
  expect(perPrompt.reduce((a, b) => a + b, 0)).toBe(19);

  const shown = await t.engine.call('samples.list', { jobId: job.id });
  expect(shown.total).toBe(40);
  expect(new Set(shown.samples.map(({ adapterId }) => adapterId))).toEqual(new Set([null, adapterB]));
});

test('questions of a comparison can be answered while its pictures are still being made', async () => {
  const t = testEngine();
  const { job, session } = await comparison(t, ['oak wait@10', 'elm wait@10'], 4);
  // 16 pictures, side A first: the first pair is complete with the ninth.
  await t.event('job', ({ id, done }) => id === job.id && done === 10);
  const question = await t.engine.call('sessions.question', { id: session.id });
  expect((await t.job(job.id)).state).toBe('running');
  const { next } = await t.engine.call('sessions.vote', { trialId: question!.trialId, outcome: 'left' });
  expect(next).toMatchObject({ number: 2, total: 8 });
  const after = await t.engine.call('sessions.vote', { trialId: next!.trialId, outcome: 'left' });
  // Two pairs are there so far. No question for now, but the session is not over.
  expect(after).toMatchObject({ next: null, session: { remaining: 6 } });
  await t.engine.call('jobs.pause', { id: job.id });
  await t.reaches(job.id, 'paused');
  await t.engine.call('jobs.resume', { id: job.id });
  await t.reaches(job.id, 'done');
  expect(await t.engine.call('sessions.question', { id: session.id })).toMatchObject({ number: 3 });
});

test('a picture of an unanswered comparison cannot be starred into a list', async () => {
  const t = testEngine();
  const { job, session } = await comparison(t, ['oak'], 1);
  await t.reaches(job.id, 'done');
  const question = await t.engine.call('sessions.question', { id: session.id });
  const star = t.engine.call('samples.star', { id: question!.slots[0]!.sampleId, starred: true });
  await expect(star).rejects.toMatchObject({ code: 'sample/unknown' });
});

test('a comparison that was cancelled half-way is over when its complete pairs are answered; resumed, it goes on', async () => {
  const t = testEngine();
  const { job, session } = await comparison(t, ['oak wait@14', 'elm wait@14'], 6);
  // 24 pictures, side A first: pairs are complete from the 13th on.
  await t.event('job', ({ id, done }) => id === job.id && done === 14);
  await t.engine.call('jobs.cancel', { id: job.id });
  await t.reaches(job.id, 'cancelled');
  const answerAll = async () => {
    let question = await t.engine.call('sessions.question', { id: session.id });
    while (question) {
      ({ next: question } = await t.engine.call('sessions.vote', { trialId: question.trialId, outcome: 'left' }));
    }
    return (await t.engine.call('sessions.list', {})).find(({ id }) => id === session.id)!;
  };
  const early = await answerAll();
  expect(early.remaining).toBe(0);
  expect(early.votes).toBe(3);
  expect((await t.engine.call('samples.list', { jobId: job.id })).total).toBe(15);
  await t.engine.call('jobs.resume', { id: job.id });
  await t.reaches(job.id, 'done');
  expect(await answerAll()).toMatchObject({ votes: 12, remaining: 0 });
});

test('comparing a thing with itself is refused', async () => {
  const t = testEngine();
  const same = { modelId: TINY, adapterA: null, adapterB: null, prompts: ['x'], seed: 0 };
  await expect(t.engine.call('compare.start', same)).rejects.toMatchObject({ code: 'compare/same' });
});
