import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { openDb } from '#pipelines/store/db.ts';
import { jobs } from '#pipelines/store/jobs.ts';
import { migrations } from '#pipelines/store/migrations/index.ts';
import { parseQuery } from '#pipelines/store/query.ts';
import { findSamples, sampleSearch } from '#pipelines/store/sample-search.ts';
import { samples } from '#pipelines/store/samples.ts';
import { scores } from '#pipelines/store/scores.ts';
import { sessions } from '#pipelines/store/sessions.ts';
import { normaliseTag, tags } from '#pipelines/store/tags.ts';
import { addManySamples } from '#test/support/many-samples.ts';

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'northlight-gallery-'));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

function project(n: number) {
  const db = openDb(join(folder(), 'project.sqlite'));
  onTestFinished(() => db.close());
  return { db, made: addManySamples(db, n) };
}

const NAMES = { models: [], adapters: [], tags: [], rewards: [] };
const found = (db: ReturnType<typeof openDb>, text: string) =>
  findSamples(db, sampleSearch(parseQuery(text, new Date()).terms, NAMES), { order: 'oldest', limit: 1000 }).seqs;

test('a tag is the same however it is typed, and what could not be searched for is refused', () => {
  expect(normaliseTag('  To\tPRINT ')).toBe('to print');
  expect(normaliseTag('ﬁne')).toBe('fine');
  for (const text of ['', '  ', 'a"b', 'a,b', 'a\u0000b', 'x'.repeat(61)]) {
    expect(() => normaliseTag(text)).toThrow(expect.objectContaining({ code: 'tag/invalid' }));
  }
});

test('tags are given, taken, renamed and merged; one that nothing has is forgotten', () => {
  const { db } = project(10);
  db.run('DELETE FROM sample_tags');
  db.run('DELETE FROM tags');
  tags.change(db, [1, 2, 3], { add: ['a', 'b'], remove: [] });
  tags.change(db, [3, 4], { add: ['c'], remove: ['a'] });
  const counts = () => Object.fromEntries(tags.all(db).map(({ name, count }) => [name, count]));
  expect(counts()).toEqual({ a: 2, b: 3, c: 2 });
  expect(samples.bySeqs(db, [3])[0]?.tags).toEqual(['b', 'c']);
  expect(tags.rename(db, 'a', 'z')).toBe(true);
  expect(tags.rename(db, 'b', 'c')).toBe(true);
  expect(tags.rename(db, 'none', 'c')).toBe(false);
  expect(counts()).toEqual({ z: 2, c: 4 });
  expect(samples.bySeqs(db, [3])[0]?.tags).toEqual(['c']);
  tags.change(db, [1, 2], { add: [], remove: ['z'] });
  expect(counts()).toEqual({ c: 4 });
});

test('what is in the trash is in no list, comes back whole, and is found there', () => {
  const { db } = project(6);
  samples.starAll(db, [2, 3], true);
  tags.change(db, [2], { add: ['kept'], remove: [] });
  scores.put(db, 'warmth', [[2, 0.5]]);
  expect(samples.trash(db, [2, 3])).toBe(2);
  expect(samples.trash(db, [2])).toBe(0);
  expect(found(db, '')).toEqual([1, 4, 5, 6]);
  expect(found(db, 'in:trash')).toEqual([2, 3]);
  expect(samples.list(db, { limit: 10 }).total).toBe(4);
  expect(samples.restore(db, [2])).toBe(1);
  expect(samples.bySeqs(db, [2])[0]).toMatchObject({
    starred: true,
    tags: expect.arrayContaining(['kept']),
    scores: { warmth: 0.5 },
  });
  expect(found(db, '')).toEqual([1, 2, 4, 5, 6]);
});

test('emptying the trash removes pictures, but none that a session holds or a job may still make', () => {
  const { db, made } = project(5);
  db.run("UPDATE samples SET hash = 'shared' WHERE seq IN (1, 5)");
  sessions.add(db, {
    ...{ id: 'session-1', kind: 'rank', mode: 'pair', name: 'A', modelId: 'model-1', adapterA: null, adapterB: null },
    ...{ seed: 0, planned: null },
  });
  sessions.addSample(db, 'session-1', made[1]!.id);
  const origin = { modelId: 'model-1', adapterId: null, adapterA: null, adapterB: null };
  jobs.add(db, {
    id: 'job-2',
    kind: 'generate',
    title: '',
    total: 1,
    payload: {},
    origin,
    runId: null,
    sessionId: null,
  });
  db.run("UPDATE samples SET job_id = 'job-2' WHERE seq = 3");
  samples.trash(db, [1, 2, 3, 4]);
  // The file of picture 1 is also that of picture 5, which stays.
  expect(samples.purge(db)).toEqual([made[3]!.hash]);
  expect(found(db, 'in:trash')).toEqual([2, 3]);
  expect(samples.ofSession(db, 'session-1').map(({ seq }) => seq)).toEqual([2]);
  expect(found(db, `"${made[3]!.prompt}" in:trash`)).not.toContain(4);
});

test('emptying the trash takes starts and masks along that nothing else started from, and leaves what is started from', () => {
  const { db, made } = project(4);
  db.run("UPDATE samples SET start_picture = 'start', start_mask = 'mask-1' WHERE seq = 1");
  db.run("UPDATE samples SET start_picture = 'start', start_mask = ? WHERE seq = 2", [made[2]!.hash]);
  samples.trash(db, [1, 3]);
  expect(samples.purge(db).sort()).toEqual([made[0]!.hash, 'mask-1'].sort());
  samples.trash(db, [2]);
  jobs.add(db, {
    ...{ id: 'job-9', kind: 'generate', title: '', total: 1, payload: { start: { picture: '/p/start.png' } } },
    origin: { modelId: 'model-1', adapterId: null, adapterA: null, adapterB: null },
    ...{ runId: null, sessionId: null },
  });
  expect(samples.purge(db).sort()).toEqual([made[1]!.hash, made[2]!.hash].sort());
});

test('a blind comparison’s pictures are neither found, shown, marked nor thrown away by number', () => {
  const { db } = project(3);
  db.run('UPDATE samples SET hidden = 1 WHERE seq = 2');
  samples.starAll(db, [2], true);
  tags.change(db, [2], { add: ['seen'], remove: [] });
  expect(samples.trash(db, [2])).toBe(0);
  expect(found(db, '')).toEqual([1, 3]);
  expect(found(db, 'in:trash')).toEqual([]);
  expect(samples.bySeqs(db, [2])).toEqual([]);
  expect(tags.samplesWith(db, 'seen')).toEqual([]);
  expect(scores.missing(db, 'warmth', [1, 2, 3]).map(({ seq }) => seq)).toEqual([1, 3]);
});

test('scoring again replaces a value, and a picture that is gone is passed over', () => {
  const { db } = project(3);
  db.run('DELETE FROM sample_rewards');
  scores.put(db, 'warmth', [
    [1, 0.25],
    [99, 1],
  ]);
  scores.put(db, 'warmth', [[1, 0.75]]);
  expect(scores.rewards(db)).toEqual([{ reward: 'warmth', count: 1 }]);
  expect(samples.bySeqs(db, [1])[0]?.scores).toEqual({ warmth: 0.75 });
  expect(scores.missing(db, 'warmth', [1, 2]).map(({ seq }) => seq)).toEqual([2]);
});

test('a project from before the gallery is brought along with its pictures, jobs and votes, and its prompts are searchable', () => {
  const path = join(folder(), 'project.sqlite');
  openDb(path, migrations.slice(0, 1)).close();
  const old = new DatabaseSync(path);
  old.exec(`
    INSERT INTO models VALUES ('m', '/m', 0, '2026', NULL);
    INSERT INTO jobs (id, kind, title, state, created_at, place, payload, origin) VALUES
      ('j', 'tune', 'T', 'done', '2026', 1, '{}', '{"modelId":"m","adapterId":null,"adapterA":null,"adapterB":null}');
    INSERT INTO samples (id, hash, prompt, negative_prompt, model_id, seed, idx, steps, scheduler, eta, guidance_scale,
      width, height, has_trajectory, starred, job_id, position, created_at)
      VALUES ('s', 'h', 'a red tulip', '', 'm', 7, 0, 30, 'ddim', 1, 3, 64, 64, 1, 1, 'j', 0, '2026-01-01T00:00:00.000Z');
  `);
  old.close();
  const db = openDb(path);
  onTestFinished(() => db.close());
  expect(jobs.get(db, 'j')).toMatchObject({ kind: 'tune', state: 'done', title: 'T' });
  expect(found(db, 'tulip star')).toEqual([1]);
  expect(samples.bySeqs(db, [1])[0]).toMatchObject({ id: 's', tags: [], scores: {}, trashed: false });
});
