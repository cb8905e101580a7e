import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { serve } from './support/serve.ts';
import { LONG, openSession } from './support/session.ts';

/**
 * The whole loop as a person goes through it: `northlight serve` on a new project, the built window in a real browser, the
 * bundled model. SCREENSHOTS=folder keeps a picture of every place.
 */

const session = openSession('loop', { settleMs: 200, open: () => {} });
const { id, shoot, rows, project } = session;
const PROMPTS = ['a red tulip with two leaves in a vase on a cream background', 'a white lily on a navy background'];
const HELD_OUT = ['a blue daisy', 'a red rose in a vase', 'a purple bellflower on a mint background', 'a yellow poppy'];

/** Engines that were ended: that nobody answers there is the browser's own complaint. */
const gone: string[] = [];

/** Presses a key that answers the question, and waits until the engine has the answer and the next question is there. */
async function answer(key: string, count: () => Promise<boolean>): Promise<void> {
  await session.window.page.keyboard.press(key);
  await expect.poll(count, { timeout: 120_000 }).toBe(true);
}

afterEach(() => {
  const ofGone = (complaint: string) =>
    /ERR_CONNECTION/.test(complaint) && gone.some((host) => complaint.includes(host));
  expect(session.window.complaints.filter((complaint) => !ofGone(complaint))).toEqual([]);
});

describe('generate, rank, tune, compare', { timeout: LONG }, () => {
  test('the printed address opens the window, connected and empty', async () => {
    await session.window.page.goto(session.serving.url);
    await id('generate-start').waitFor();
    for (const place of ['rank', 'tune', 'compare', 'models', 'generate']) {
      await id(`rail-${place}`).click();
      await id(`place-${place}`).waitFor();
      await shoot(`1-empty-${place}`);
    }
  });

  test('two prompts of four pictures each are generated with their trajectories', async () => {
    await id('prompts').fill(PROMPTS.join('\n'));
    await id('count').fill('4');
    await id('steps').fill('8');
    await id('seed').fill('1');
    await id('prompts').press('Control+Enter');
    await expect.poll(() => id('result').count(), { timeout: LONG }).toBe(8);
    await shoot('2-generated');
    const kept = rows('SELECT hash FROM samples WHERE has_trajectory = 1');
    expect(kept).toHaveLength(8);
    for (const { hash } of kept) {
      expect(existsSync(join(project, 'samples', `${hash}.png`))).toBe(true);
      expect(existsSync(join(project, 'trajectories', `${hash}.safetensors`))).toBe(true);
    }
    await id('result').first().click();
    await shoot('2-detail');
    await session.window.page.keyboard.press('Escape');
  });

  test('pictures are ranked by keyboard, and an undone vote is asked again', async () => {
    await id('rank-these').click();
    await id('vote-left').waitFor();
    const votes = (n: number) => async () =>
      (await id('vote-count').textContent())?.startsWith(`${n} `) === true &&
      // The count may be told before the call that changed it returns: keys are heard only after that.
      (await id('vote-left').getAttribute('aria-disabled')) !== 'true';
    const keys = ['ArrowLeft', 'ArrowRight', 'Shift+ArrowRight', '1', '2', 'ArrowLeft', 'ArrowRight'];
    for (const [n, key] of keys.entries()) await answer(key, votes(n + 1));
    const prompt = await id('question-prompt').textContent();
    expect(PROMPTS).toContain(prompt);
    await answer('Control+z', votes(keys.length - 1));
    await answer('ArrowRight', votes(keys.length));
    await answer('ArrowDown', votes(keys.length + 1));
    await session.window.page.waitForTimeout(600);
    await shoot('3-rank');
    expect(rows('SELECT seq FROM votes WHERE voided_at IS NULL')).toHaveLength(8);
    expect(rows('SELECT seq FROM votes WHERE voided_at IS NOT NULL')).toHaveLength(1);
  });

  test('every vote that the window was told is stored is in the project', () => {
    expect(session.window.acknowledged).toHaveLength(9);
    const stored = rows('SELECT trial_id FROM votes').map((row) => row.trial_id);
    expect(stored).toEqual(expect.arrayContaining(session.window.acknowledged));
  });

  test('the model is tuned from the votes, with chart, pictures of the same seeds, and a verified adapter', async () => {
    await id('tune-with-these').click();
    await id('field-steps').fill('6');
    await id('advanced').locator('summary').click();
    await id('field-itemsPerUpdate').fill('2');
    await shoot('4-tune-form');
    await id('tune-start').click();
    await id('run-view').waitFor();
    await session.window.page.locator('[data-testid=strip] img').first().waitFor({ timeout: LONG });
    await session.window.page.locator('.chart path, .chart polyline').first().waitFor({ timeout: LONG });
    await shoot('4-tune-running');
    await id('compare-with-base').waitFor({ timeout: LONG });
    await session.window.page.locator('.centre').evaluate((e) => e.scrollTo(0, 0));
    await shoot('4-tuned');
    const [adapter] = rows('SELECT path, verified_difference FROM adapters');
    expect(adapter!.verified_difference).toBeLessThan(1e-5);
    expect(existsSync(join(project, String(adapter!.path)))).toBe(true);
    const [run] = rows('SELECT directory, step FROM runs');
    expect(run!.step).toBe(6);
    const lines = readFileSync(join(project, String(run!.directory), 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('base model and adapter are compared blind, and the win rate comes with its interval', async () => {
    await id('compare-with-base').click();
    await id('compare-prompts').fill(HELD_OUT.join('\n'));
    await id('compare-per-prompt').fill('1');
    await session.window.page.getByText('More settings').click();
    await id('compare-steps').fill('6');
    await shoot('5-compare-form');
    await id('compare-start').click();
    await id('vote-left').waitFor({ timeout: LONG });
    // Nothing on the page tells the sides apart.
    expect(await id('voting').innerHTML()).not.toMatch(/adapter|base|side/i);
    await shoot('5-compare-vote');
    for (let n = 1; n <= HELD_OUT.length; n++) {
      await answer(n % 2 === 0 ? 'ArrowLeft' : 'ArrowRight', async () =>
        n === HELD_OUT.length
          ? (await id('compare-result').count()) === 1
          : (await id('compare-count').textContent())?.startsWith(`${n} `) === true &&
            (await session.window.page.locator('.pressed').count()) === 0,
      );
    }
    expect(await id('win-rate').textContent()).toMatch(/^\d+%$/);
    expect(await id('interval').textContent()).toMatch(/^95% interval \d+% to \d+% · 4 answers/);
    await shoot('5-compare-result');
    await id('rail-models').click();
    await id('adapter').waitFor();
    await shoot('6-models');
  });
});

describe('when something ends in the middle', { timeout: LONG }, () => {
  /** Starts a job long enough to be interrupted, and waits for its first picture. */
  async function startLongJob(seed: number): Promise<void> {
    await id('rail-generate').click();
    await id('prompts').fill(PROMPTS.join('\n'));
    await id('count').fill('6');
    await id('steps').fill('12');
    await id('seed').fill(String(seed));
    await id('generate-start').click();
    await expect.poll(() => id('result').count(), { timeout: LONG }).toBeLessThan(8);
    await expect.poll(() => id('result').count(), { timeout: LONG }).toBeGreaterThan(0);
  }

  test('a compute process killed in the middle leaves a paused job, and resuming finishes it', async () => {
    await startLongJob(2);
    const pids = session.serving.computePids();
    expect(pids.length).toBeGreaterThan(0);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    const job = id('job').first();
    await id('queue-toggle').click();
    await expect.poll(() => job.getAttribute('data-state'), { timeout: LONG }).toBe('paused');
    await shoot('7-paused');
    const before = rows('SELECT job_id, position, hash FROM samples WHERE seed = 2 ORDER BY position');
    expect(before.length).toBeGreaterThan(0);
    expect(before.length).toBeLessThan(12);
    await job.getByTestId('job-resume').click();
    await expect.poll(() => job.getAttribute('data-state'), { timeout: LONG }).toBe('done');
    const after = rows('SELECT job_id, position, hash FROM samples WHERE seed = 2 ORDER BY position');
    expect(after).toHaveLength(12);
    expect(after).toEqual(expect.arrayContaining(before));
    await id('queue-toggle').click();
  });

  test('a page reloaded in the middle of a job shows the job again and its pictures arrive', async () => {
    await startLongJob(3);
    await session.window.page.reload();
    await id('generate-start').waitFor();
    await expect.poll(() => id('result').count(), { timeout: LONG }).toBeGreaterThan(0);
    await shoot('8-reloaded');
    await expect.poll(() => id('result').count(), { timeout: LONG }).toBe(12);
  });

  test('Ctrl-C while a job runs ends with a paused job; the next start shows it', async () => {
    await startLongJob(4);
    expect(await session.serving.stop()).toBe(130);
    expect(rows("SELECT state FROM jobs WHERE state NOT IN ('done')")).toEqual([{ state: 'paused' }]);
    expect(session.serving.errors()).not.toMatch(/\n\s+at /);
    gone.push(new URL(session.serving.url).host);
    session.serving = await serve(project);
    await session.window.page.goto(session.serving.url);
    await id('queue-toggle').click();
    await expect.poll(() => id('job').first().getAttribute('data-state'), { timeout: LONG }).toBe('paused');
    await shoot('9-restarted');
  });

  test('nothing was requested from elsewhere', () => {
    const hosts = new Set(
      session.window.requests.map((url) => new URL(url)).map((u) => `${u.protocol}//${u.hostname}`),
    );
    expect([...hosts].sort()).toEqual(['http://127.0.0.1', 'ws://127.0.0.1']);
  });
});
