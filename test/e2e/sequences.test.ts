import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import { parseFasta } from '#pipelines/sequences/sequence-files.ts';
import { jobs } from '#pipelines/store/jobs.ts';
import { models } from '#pipelines/store/models.ts';
import { openProject } from '#pipelines/store/project.ts';
import { sequences } from '#pipelines/store/sequences.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';
import { eventually, LONG, openSession } from './support/session.ts';

/** A model of sequences in the window, from its folder to a FASTA file. SCREENSHOTS=folder keeps pictures. */

const session = openSession('sequences', { fullPage: true, before: fill });
const { id, shoot, folder, project } = session;
const COUNT = 20;
const LENGTH = 60;

const gc = (letters: string) => [...letters].filter((letter) => 'GC'.includes(letter)).length / letters.length;
/** Letters of the rows in sight, from the top. */
const rows = async () => {
  const all = await id('sequence').evaluateAll((list) =>
    list.map((row) => ({
      y: row.getBoundingClientRect().top,
      letters: row.querySelector('.letters')?.getAttribute('aria-label') ?? '',
    })),
  );
  return all.sort((a, b) => a.y - b.y).map(({ letters }) => letters);
};

const MANY = 10_000;

/** A project in which somebody has written many sequences before. */
function fill(): void {
  const filled = openProject(project);
  const { db } = filled;
  const rng = new Rng(7);
  db.tx(() => {
    models.put(db, { id: 'model-old', path: join(folder, 'gone'), bundled: false });
    const origin = {
      modelId: 'model-old',
      adapterId: null,
      adapterA: null,
      adapterB: null,
      makes: 'sequences' as const,
    };
    const job = { id: 'job-old', kind: 'generate' as const, title: 'Many', total: MANY, payload: {}, origin };
    jobs.add(db, { ...job, runId: null, sessionId: null });
    jobs.settle(db, 'job-old', { state: 'done', stage: '', crashes: 0, error: null });
    const shared = { modelId: 'model-old', adapterId: null, className: null, seed: 7, steps: 1, scheduler: 'masked' };
    for (let index = 0; index < MANY; index++) {
      const letters = Array.from({ length: 200 }, () => 'ACGT'[rng.int(4)]).join('');
      sequences.add(db, { ...shared, letters, index, eta: 0, guidanceScale: 1, jobId: 'job-old' });
    }
  });
  filled.close();
}

test('a folder with a model of sequences is added, and Generate asks for a class in place of a prompt', {
  timeout: LONG,
}, async () => {
  const tiny = writeTinyMaskedModel(join(folder, 'enhancers'), { length: LENGTH });
  await id('rail-models').click();
  await id('model-path').fill(tiny);
  await id('model-add').click();
  await session.window.page.getByRole('heading', { name: 'enhancers' }).waitFor();
  await id('rail-generate').click();
  await id('model-select').selectOption({ label: 'enhancers' });
  await id('class-select').selectOption('K562');
  expect(await id('prompts').count()).toBe(0);
});

test('guided sequences: the cost before, each step while, scores, logo and tracks after', {
  timeout: LONG,
}, async () => {
  await id('count').fill(String(COUNT));
  await id('steps').fill('8');
  await id('steer-by').selectOption('gc');
  await id('steer-method').selectOption('svdd-pm');
  await id('field-candidates').fill('4');
  await eventually(() => id('steer-cost').textContent()).toMatch(/× the work: .* in place of 160.* sequences/);
  await shoot('sequence-form');
  await id('generate-start').click();
  await eventually(() => id('sequence').count()).toBeGreaterThan(COUNT / 2);
  await eventually(() => id('sequence-count').textContent()).toBe(`${COUNT} sequences`);
  await id('sequence-logo').waitFor();
  await id('sequence-list').focus();
  await session.window.page.keyboard.press('ArrowDown');
  await id('sequence-tracks').waitFor();
  await id('steer-view').waitFor();
  expect(await id('rival').count()).toBe(4);
  await shoot('sequence-results');
});

test('rows go by a reward, and a search finds those that have enough of it', { timeout: LONG }, async () => {
  await id('sort-gc').click();
  const shares = (await rows()).map(gc);
  expect(shares).toEqual([...shares].sort((a, b) => b - a));
  const bound = 0.55;
  await id('sequence-search').fill(`gc>=${bound}`);
  const enough = shares.filter((share) => share >= bound).length;
  await eventually(() => id('sequence').count()).toBe(enough);
  await id('sequence-search').fill('');
  await eventually(() => id('sequence').count()).toBe(COUNT);
});

test('selected sequences go into a FASTA file that reads back as they are; another reward is a column more', {
  timeout: LONG,
}, async () => {
  const best = (await rows()).slice(0, 3);
  await id('sequence-list').focus();
  for (const key of ['Home', 'Shift+ArrowDown', 'Shift+ArrowDown']) await session.window.page.keyboard.press(key);
  await eventually(() => id('sequence-subject').textContent()).toBe('3 selected:');
  await session.window.page.keyboard.press('e');
  const exports = join(project, 'exports');
  const files = () => {
    try {
      return readdirSync(exports).filter((name) => name.endsWith('.fasta'));
    } catch {
      return [];
    }
  };
  await eventually(() => files().length).toBe(1);
  const [file = ''] = files();
  const read = parseFasta(readFileSync(join(exports, file), 'utf8'), file).map(({ sequence }) => sequence);
  expect(read.sort()).toEqual(best.sort());
  await session.window.page.keyboard.press('Escape');
  await id('score-reward').fill('motif:TGASTCA');
  await id('score-start').click();
  await id('sort-motif:TGASTCA').waitFor({ timeout: LONG });
  await shoot('sequence-scored');
});

test('a tree search leaves a tree that can be walked', { timeout: LONG }, async () => {
  await id('steer-method').selectOption('tree');
  await id('count').fill('1');
  await id('generate-start').click();
  await eventually(() => id('sequence-count').textContent()).toBe('1 sequence');
  await id('sequence').first().click();
  await id('steer-tree').waitFor();
  await shoot('sequence-tree');
});

test(`of ${MANY} rows only those in sight exist, and the last one is a key away`, { timeout: LONG }, async () => {
  await id('batch-select').selectOption('job-old');
  await eventually(() => id('sequence-count').textContent()).toBe(`${MANY} sequences`);
  await id('sequence-list').focus();
  const begun = performance.now();
  await session.window.page.keyboard.press('End');
  await session.window.page.locator('.sequence-row.current', { hasText: String(MANY - 1) }).waitFor();
  if (session.keepsShots) console.log(`End of ${MANY} rows: ${Math.round(performance.now() - begun)} ms`);
  expect(await id('sequence').count()).toBeLessThan(60);
  await shoot('sequence-many');
  expect(session.window.complaints).toEqual([]);
});
