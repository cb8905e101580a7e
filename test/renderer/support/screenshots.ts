import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { chromium, type Page } from 'playwright-core';
import { startHttpServer } from '#pipelines/engine/http-server.ts';
import { openDemo } from './demo-engine.ts';

/**
 * Walks through the built window in a real browser, against the real engine with drawn flowers, and writes a picture of
 * every place in light and dark. Usage: node test/renderer/support/screenshots.ts OUT_FOLDER
 */

const out = resolve(process.argv[2] ?? 'build/out/screenshots');
mkdirSync(out, { recursive: true });
const demo = openDemo({ stepMs: 15 });
const server = await startHttpServer({
  engine: demo.engine,
  renderer: resolve(import.meta.dirname, '../../../build/out/renderer'),
  samples: join(demo.directory, 'samples'),
});
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
const page = await context.newPage();
// A busy machine draws slowly.
page.setDefaultTimeout(120_000);
const complaints: string[] = [];
page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
page.on('pageerror', (error) => complaints.push(String(error)));

const id = (name: string) => page.getByTestId(name);
async function shoot(name: string): Promise<void> {
  for (const scheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.waitForTimeout(180);
    await page.screenshot({ path: join(out, `${name}-${scheme}.png`) });
  }
  await page.emulateMedia({ colorScheme: 'light' });
}
async function basics(page: Page, name: string): Promise<void> {
  const found = await page.evaluate(() => {
    const problems: string[] = [];
    for (const element of document.querySelectorAll<HTMLElement>('button, input, select, textarea, a, summary')) {
      const labelled = (element.getAttribute('aria-labelledby') ?? '')
        .split(' ')
        .map((i) => document.getElementById(i)?.textContent ?? '');
      const labels =
        'labels' in element ? [...((element as HTMLInputElement).labels ?? [])].map((l) => l.textContent) : [];
      const name = [element.getAttribute('aria-label'), element.textContent, ...labelled, ...labels].join('').trim();
      if (name === '') problems.push(`no name: ${element.outerHTML.slice(0, 120)}`);
    }
    for (const image of document.querySelectorAll('img:not([alt])'))
      problems.push(`no alt: ${image.outerHTML.slice(0, 80)}`);
    const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
    for (const twice of ids.filter((i, at) => ids.indexOf(i) !== at)) problems.push(`id twice: ${twice}`);
    const side = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    if (side > 0) problems.push(`scrolls sideways by ${side}`);
    return problems;
  });
  for (const problem of found) complaints.push(`${name}: ${problem}`);
}

try {
  await page.goto(server.url);
  await id('generate-start').waitFor();
  await shoot('generate-empty');
  for (const place of ['rank', 'tune', 'compare', 'models']) {
    await id(`rail-${place}`).click();
    await id(`place-${place}`).waitFor();
    await basics(page, place);
    await shoot(`${place}-empty`);
  }
  await page.keyboard.press('Control+1');
  for (let i = 0; i < 3; i++) await id('example-prompt').first().click();
  await id('count').fill('6');
  await id('prompts').focus();
  await page.keyboard.press('Control+Enter');
  await id('preview').first().waitFor();
  await page.waitForFunction(() => document.querySelectorAll('[data-testid=result]').length > 6);
  await id('queue-toggle').click();
  await shoot('generate-running');
  await id('queue-toggle').click();
  await page.waitForFunction(() => document.querySelectorAll('[data-testid=result]').length === 18);
  await basics(page, 'generate');
  await shoot('generate');
  await id('result').nth(2).click();
  await page.keyboard.press('.');
  await shoot('generate-detail');
  await page.keyboard.press('Escape');
  await id('rank-these').click();
  await id('vote-left').waitFor();
  for (let i = 0; i < 36; i++) {
    const before = await id('vote-count').textContent();
    await page.keyboard.press(['ArrowLeft', 'ArrowRight', 'ArrowDown', 'Shift+ArrowRight', '1'][i % 5] ?? '1');
    await page.waitForFunction(
      (was) => document.querySelector('[data-testid=vote-count]')?.textContent !== was,
      before,
    );
    await page.waitForFunction(() => !document.querySelector('.slot.pressed'));
  }
  await page.waitForTimeout(1500);
  await basics(page, 'rank');
  await shoot('rank');
  await page.keyboard.down(' ');
  await shoot('rank-zoom');
  await page.keyboard.up(' ');
  await page.keyboard.press('?');
  await shoot('shortcuts');
  await page.keyboard.press('Escape');
  await id('all-sessions').click();
  await id('session-job').check();
  await page.getByRole('button', { name: 'Best of several' }).click();
  await shoot('rank-list');
  await id('session-create').click();
  await id('vote-1').waitFor();
  await shoot('rank-best-of-n');
  await id('all-sessions').click();
  await id('session').last().click();
  await id('tune-with-these').click();
  await id('tune-start').click();
  await id('run-view').waitFor();
  await page.waitForTimeout(1500);
  await page.locator('.chart svg').first().hover();
  await basics(page, 'tune');
  await shoot('tune-running');
  await page.waitForFunction(() => document.querySelector('[data-testid=compare-with-base]'), undefined, {
    timeout: 60_000,
  });
  await id('advanced').locator('summary').click();
  await page.locator('.centre').evaluate((e) => e.scrollTo(0, 400));
  await shoot('tune');
  await id('compare-with-base').click();
  await shoot('compare-new');
  await id('compare-start').click();
  await id('compare-progress').waitFor();
  await shoot('compare-making');
  await id('vote-left').waitFor({ timeout: 60_000 });
  await shoot('compare-voting');
  await basics(page, 'compare');
  for (let i = 0; i < 16; i++) {
    await page.keyboard.press(i % 4 === 0 ? 'ArrowLeft' : 'ArrowRight');
    await page.waitForFunction(
      (n) =>
        !document.querySelector('.slot.pressed') &&
        (document.querySelector('[data-testid=compare-result]') ||
          document.querySelector('[data-testid=compare-count]')?.textContent?.startsWith(`${n} `)),
      i + 1,
    );
  }
  await id('win-rate').waitFor();
  await shoot('compare-result');
  await page.keyboard.press('Control+5');
  await id('adapter').waitFor();
  await basics(page, 'models');
  await id('model-path').fill('/nowhere');
  await id('model-add').click();
  await id('error-note').waitFor();
  await shoot('models');
  await page.setViewportSize({ width: 820, height: 900 });
  await page.keyboard.press('Control+1');
  await basics(page, 'narrow');
  await shoot('narrow');
} finally {
  for (const complaint of complaints) console.error(complaint);
  await page.screenshot({ path: join(out, 'last.png') });
  await browser.close();
  await server.close();
  await demo.close();
}
console.log(`${out}: ${complaints.length} complaints`);
