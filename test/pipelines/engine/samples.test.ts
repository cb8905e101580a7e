import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { EventPayload } from '#pipelines/engine/contract.ts';
import { encodePng } from '#pipelines/images/images.ts';
import { generated, type TestEngine, temporaryFolder, testEngine } from '#test/support/engine.ts';

async function seqsOf(t: TestEngine, query = ''): Promise<number[]> {
  return (await t.engine.call('samples.find', { query })).seqs;
}

const changes = (t: TestEngine) =>
  t.seen
    .filter(({ name }) => name === 'samplesChanged')
    .map(({ payload }) => payload as EventPayload<'samplesChanged'>);

/** Puts real pictures, of brightness 0, 1/n, …, in place of the files of the job's pictures. */
async function paint(t: TestEngine, seqs: readonly number[]): Promise<void> {
  for (const [i, seq] of seqs.entries()) {
    const png = await encodePng(new Uint8Array(8 * 8 * 3).fill(Math.round((255 * i) / seqs.length)), 8, 8);
    const hash = createHash('sha256').update(png).digest('hex');
    writeFileSync(join(t.directory, 'samples', `${hash}.png`), png);
    t.project.db.run('UPDATE samples SET hash = ? WHERE seq = ?', [hash, seq]);
  }
}

test('pictures are found by words and filters, counted, and what was understood and what was not is told', async () => {
  const t = testEngine();
  await generated(t, ['a red tulip', 'a blue rose'], 3);
  const all = await t.engine.call('samples.find', {});
  expect(all).toMatchObject({ total: 6, next: null, terms: [], problems: [] });
  const found = await t.engine.call('samples.find', { query: 'tul model:tiny saed:1 -star', limit: 2 });
  expect(found.total).toBe(3);
  expect(found.seqs).toHaveLength(2);
  expect(found.terms.map(({ label }) => label)).toEqual(['model:tiny', '-star']);
  expect(found.problems).toEqual([
    { message: 'There is no filter "saed:".', hint: expect.stringContaining('seed:'), from: 15, to: 21 },
  ]);
  const rest = await t.engine.call('samples.find', { query: 'tul model:tiny -star', limit: 2, after: found.next! });
  expect([...found.seqs, ...rest.seqs]).toHaveLength(3);
  expect((await t.engine.call('samples.show', { seqs: found.seqs })).map(({ prompt }) => prompt)).toEqual([
    'a red tulip',
    'a red tulip',
  ]);
  expect(await seqsOf(t, 'model:other')).toEqual([]);
});

test('stars, tags and the trash change many pictures at once, and every window hears of it', async () => {
  const t = testEngine();
  await generated(t, ['a red tulip'], 4);
  const seqs = await seqsOf(t);
  const [first, second] = seqs as [number, number];
  await t.engine.call('samples.starAll', { seqs: [first, second], starred: true });
  await t.engine.call('samples.tag', { seqs: [first], add: ['To  Print'] });
  expect(await seqsOf(t, 'star')).toEqual([first, second]);
  expect(await seqsOf(t, 'tag:"to print"')).toEqual([first]);
  expect(await t.engine.call('samples.tags', {})).toEqual([{ name: 'to print', count: 1 }]);
  await t.engine.call('samples.renameTag', { from: 'to print', to: 'printed' });
  expect((await t.engine.call('samples.show', { seqs: [first] }))[0]?.tags).toEqual(['printed']);
  await expect(t.engine.call('samples.renameTag', { from: 'to print', to: 'x' })).rejects.toMatchObject({
    code: 'tag/unknown',
  });
  await expect(t.engine.call('samples.tag', { seqs, add: ['"'] })).rejects.toMatchObject({ code: 'tag/invalid' });
  expect(await t.engine.call('samples.trash', { seqs: [first] })).toEqual({ count: 1 });
  expect(await seqsOf(t)).toEqual(seqs.slice(1));
  expect(await t.engine.call('samples.restore', { seqs: [first] })).toEqual({ count: 1 });
  expect(await seqsOf(t)).toEqual(seqs);
  expect(changes(t).map(({ what }) => what)).toEqual(['marks', 'marks', 'marks', 'trashed', 'restored']);
});

test('emptying the trash deletes the files of what it removes and keeps what was voted on', async () => {
  const t = testEngine();
  const jobId = await generated(t, ['a red tulip'], 2);
  await t.engine.call('sessions.create', { name: 'Votes', jobIds: [jobId] });
  await generated(t, ['a blue rose'], 2);
  const rows = await t.engine.call('samples.show', { seqs: await seqsOf(t) });
  await t.engine.call('samples.trash', { seqs: rows.map(({ seq }) => seq) });
  expect(await t.engine.call('samples.emptyTrash', {})).toEqual({ removed: 2, kept: 2 });
  for (const { prompt, hash } of rows) {
    expect(existsSync(join(t.directory, 'samples', `${hash}.png`))).toBe(prompt === 'a red tulip');
    expect(existsSync(join(t.directory, 'trajectories', `${hash}.safetensors`))).toBe(prompt === 'a red tulip');
  }
  expect(await seqsOf(t, 'in:trash')).toHaveLength(2);
});

test('a ranking session of chosen pictures leaves out what is in the trash', async () => {
  const t = testEngine();
  await generated(t, ['a red tulip'], 4);
  const seqs = await seqsOf(t);
  await t.engine.call('samples.trash', { seqs: seqs.slice(0, 1) });
  expect(await t.engine.call('sessions.create', { name: 'Chosen', seqs })).toMatchObject({ samples: 3, prompts: 1 });
  await expect(t.engine.call('sessions.create', { name: 'One', seqs: seqs.slice(2, 3) })).rejects.toMatchObject({
    code: 'session/too-few',
  });
});

describe('scoring', () => {
  test('is a job that scores each picture once; then they are found and ordered by it', async () => {
    const t = testEngine();
    await generated(t, ['a red tulip'], 5);
    const seqs = (await seqsOf(t)).toReversed();
    await paint(t, seqs);
    const job = await t.engine.call('samples.score', { seqs: seqs.slice(0, 3), reward: 'brightness' });
    expect(await t.reaches(job.id, 'done', 'failed')).toMatchObject({
      kind: 'score',
      state: 'done',
      done: 3,
      total: 3,
    });
    const [, second] = await t.engine.call('samples.show', { seqs: seqs.slice(0, 2) });
    expect(second?.scores.brightness).toBeCloseTo(51 / 255, 5);
    const byScore = await t.engine.call('samples.find', { order: 'best', reward: 'brightness' });
    expect(byScore.seqs).toEqual(seqs.slice(0, 3).toReversed());
    expect(byScore.total).toBe(5);
    expect(await seqsOf(t, 'reward:brightness>0.1')).toEqual(seqs.slice(1, 3).toReversed());
    const rest = await t.engine.call('samples.score', { seqs, reward: 'brightness' });
    expect(rest.total).toBe(2);
    await t.reaches(rest.id, 'done');
    await expect(t.engine.call('samples.score', { seqs, reward: 'brightness' })).rejects.toMatchObject({
      code: 'score/nothing',
    });
    const known = await t.engine.call('samples.rewards', {});
    expect(known.find(({ reward }) => reward === 'brightness')?.scored).toBe(5);
    expect(
      changes(t)
        .filter(({ what }) => what === 'scores')
        .flatMap(({ seqs: changed }) => changed),
    ).toEqual(seqs);
  });

  test('passes over pictures whose file is missing, and refuses a reward that is not there', async () => {
    const t = testEngine();
    await generated(t, ['a red tulip'], 3);
    const seqs = await seqsOf(t);
    await paint(t, seqs);
    t.project.db.run("UPDATE samples SET hash = 'none' WHERE seq = ?", [seqs[1]!]);
    const job = await t.engine.call('samples.score', { seqs, reward: 'warmth' });
    expect(await t.reaches(job.id, 'done', 'failed')).toMatchObject({ state: 'done' });
    expect(await seqsOf(t, 'reward:warmth')).toEqual([seqs[0], seqs[2]]);
    await expect(t.engine.call('samples.score', { seqs, reward: 'beauty' })).rejects.toMatchObject({
      code: 'reward/unknown',
      hint: expect.stringContaining('brightness'),
    });
  });
});

test('an export is a folder of pictures with their settings, complete or not there', async () => {
  const t = testEngine();
  await generated(t, ['A red/tulip: “été”'], 2);
  const seqs = await seqsOf(t);
  const target = join(temporaryFolder(), 'out');
  await t.engine.call('samples.tag', { seqs, add: ['sent'] });
  const result = await t.engine.call('samples.export', { seqs, folder: target });
  expect(result).toMatchObject({ count: 2, missing: 0 });
  const files = readdirSync(result.folder).sort();
  expect(files).toEqual(['000001-a-red-tulip-été.png', '000002-a-red-tulip-été.png', 'samples.jsonl']);
  const lines = readFileSync(join(result.folder, 'samples.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((l) => JSON.parse(l));
  for (const line of lines) {
    expect(line).toMatchObject({ prompt: 'A red/tulip: “été”', tags: ['sent'], seed: 1 });
    expect(
      createHash('sha256')
        .update(readFileSync(join(result.folder, line.file)))
        .digest('hex'),
    ).toBe(line.hash);
  }
  expect(readdirSync(target)).toHaveLength(1);
  mkdirSync(join(t.directory, 'exports'), { recursive: true });
  writeFileSync(join(target, 'file'), '');
  await expect(t.engine.call('samples.export', { seqs, folder: join(target, 'file') })).rejects.toMatchObject({
    code: expect.stringMatching(/^file\//),
  });
});
