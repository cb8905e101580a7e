import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodePng } from '#pipelines/images/images.ts';
import { LONG, openSession } from './support/session.ts';

/** Settings of a picture fill the form and a picture is made again, in the built window in a real browser. SCREENSHOTS=folder keeps both. */

const session = openSession('recall', {
  before: async () => {
    const parameters =
      'a white lily\nNegative prompt: a red tulip\nSteps: 2, Sampler: DPM++ 2M Karras, CFG scale: 2.5, Seed: 77, Size: 512x512, Model: Flora';
    writeFileSync(foreign, await encodePng(new Uint8Array(3), 1, 1, { parameters }));
  },
});
const { id, shoot, folder } = session;
const foreign = join(folder, 'foreign.png');

describe('a picture', { timeout: LONG }, () => {
  test('of another program fills the form, says what it could not, and can be undone', async () => {
    await id('prompts').fill('mine');
    await id('recall-file').setInputFiles(foreign);
    await id('recalled').waitFor();
    expect(await id('prompts').inputValue()).toBe('a white lily');
    expect(await id('seed').inputValue()).toBe('77');
    expect(await id('steps').inputValue()).toBe('2');
    expect(await id('recall-notes').textContent()).toMatch(/Karras.*512 × 512/);
    await shoot('1-recalled');
    await id('recall-undo').click();
    expect(await id('prompts').inputValue()).toBe('mine');
    expect(await id('recalled').count()).toBe(0);
  });

  test('that is dropped anywhere is read as well, and one without settings says so', async () => {
    const drop = (bytes: number[]) =>
      session.window.page.evaluate((content) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(content)], 'p.png', { type: 'image/png' }));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
      }, bytes);
    const bare = await encodePng(new Uint8Array(3), 1, 1);
    await drop([...bare]);
    expect(await id('error-note').textContent()).toMatch(/does not say how it was made/);
    await drop([...(await encodePng(new Uint8Array(3), 1, 1, { parameters: 'x\nSteps: 3, Seed: 1, Size: 8x8' }))]);
    await id('recalled').waitFor();
    expect(await id('prompts').inputValue()).toBe('x');
  });

  test('of ours is made again, the same to the last byte', async () => {
    await id('prompts').fill('a red tulip');
    await id('count').fill('1');
    await id('steps').fill('2');
    await id('prompts').press('Control+Enter');
    await expect.poll(() => id('result').count(), { timeout: LONG }).toBe(1);
    await id('result').first().click();
    await id('reproduce').click();
    await id('reproduction').waitFor();
    expect(await id('reproduction').textContent()).toMatch(/Identical, to the last byte/);
    await shoot('2-reproduced');
    expect(session.window.complaints).toEqual([]);
  });
});
