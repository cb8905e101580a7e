import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { decodeImage, encodePng, tensorToRgb } from '#pipelines/images/images.ts';
import { readInitialPicture, readMask } from '#pipelines/sampling/initial-picture.ts';
import { LONG, openSession } from './support/session.ts';

/** Painting a mask in a real browser, and what becomes of it. SCREENSHOTS=folder keeps pictures of what was seen. */

const session = openSession('mask', {
  before: async () => {
    // Half as wide again as what the model makes: a quarter of it is cut off.
    const [width, height] = [96, 64];
    const rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
      return [2 * x, 3 * y, (x * y) % 256][i % 3]!;
    });
    writeFileSync(wide, await encodePng(rgb, width, height));
  },
});
const { id, shoot, rows, folder, project } = session;
/** Of the bundled model. */
const SIZE = { width: 64, height: 64 };
const wide = join(folder, 'wide.png');

const share = async () => (await id('mask-share').textContent()) ?? '';
const percent = async () => Number(/\d+/.exec(await share())?.[0]);

/** Draws a line over the stage, from and to in shares of its sides. */
async function drag(from: readonly [number, number], to: readonly [number, number]): Promise<void> {
  const box = (await id('mask-stage').boundingBox())!;
  const at = ([x, y]: readonly [number, number]) => [box.x + x * box.width, box.y + y * box.height] as const;
  const { mouse } = session.window.page;
  await mouse.move(...at(from));
  await mouse.down();
  await mouse.move(...at(to), { steps: 5 });
  await mouse.up();
}

interface Row {
  readonly hash: string;
  readonly start_picture: string;
  readonly start_mask: string;
  readonly strength: number;
}
const newest = () => rows('SELECT * FROM samples ORDER BY seq DESC LIMIT 1')[0] as unknown as Row;

describe('a mask', { timeout: LONG }, () => {
  test('is painted over a picture from a file, with brush, eraser, undo and redo, by pointer and by keys', async () => {
    await id('start-file').setInputFiles(wide);
    await id('mask-open').click();
    await id('mask-stage').waitFor();
    expect(await share()).toMatch(/All of the picture/);
    await drag([0.25, 0.25], [0.75, 0.25]);
    await expect.poll(percent).toBeGreaterThan(8);
    const painted = await percent();
    await drag([0.25, 0.7], [0.6, 0.7]);
    await expect.poll(percent).toBeGreaterThan(painted);
    const both = await percent();
    await shoot('1-painted');
    const { keyboard } = session.window.page;
    await keyboard.press('Control+z');
    await expect.poll(percent).toBe(painted);
    await keyboard.press('Control+Shift+z');
    await expect.poll(percent).toBe(both);
    await keyboard.press('e');
    await drag([0.6, 0.7], [0.25, 0.7]);
    await expect.poll(percent).toBe(painted);
    await keyboard.press('e');
    await keyboard.press('i');
    await expect.poll(percent).toBe(100 - painted);
    await keyboard.press('Control+z');
    await expect.poll(percent).toBe(painted);
    const size = Number(await id('brush-size').inputValue());
    await keyboard.press(']');
    expect(Number(await id('brush-size').inputValue())).toBeGreaterThan(size);
    for (let i = 0; i < 20; i++) await keyboard.press('[');
    expect(Number(await id('brush-size').inputValue())).toBe(1);
    await keyboard.press('Delete');
    await expect.poll(share).toMatch(/Nothing is marked/);
    await id('brush-size').fill('8');
    await id('mask-stage').focus();
    await keyboard.down(' ');
    for (let i = 0; i < 6; i++) await keyboard.press('ArrowUp');
    await keyboard.up(' ');
    await expect.poll(percent).toBeGreaterThan(2);
    await shoot('2-by-keys');
    await keyboard.press('Control+z');
    await keyboard.press('Control+z');
    await expect.poll(percent).toBe(painted);
    await id('mask-done').click();
    await id('mask-dialog').waitFor({ state: 'detached' });
    expect(await id('start-share').textContent()).toContain(`${painted} %`);
    expect(await id('keep-trajectories').count()).toBe(0);
  });

  test('keeps every pixel outside of it as it was, and changes those inside', async () => {
    await id('prompts').fill('a red tulip');
    await id('count').fill('1');
    await id('steps').fill('4');
    await id('strength').fill('1');
    await shoot('3-form');
    await id('generate-start').click();
    await expect.poll(() => id('result').count(), { timeout: LONG }).toBe(1);
    const made = newest();
    expect(made.strength).toBe(1);
    const file = (hash: string) => join(project, 'samples', `${hash}.png`);
    // What was chosen is what it started from, and the mask has the size of the picture, black and white only.
    const kept = await decodeImage(file(made.start_picture));
    expect(Buffer.from(kept.data).equals(Buffer.from((await decodeImage(wide)).data))).toBe(true);
    const painted = await decodeImage(file(made.start_mask));
    expect([painted.width, painted.height]).toEqual([64, 64]);
    expect([...new Set(painted.data)].sort()).toEqual([0, 255]);
    const mask = await readMask(file(made.start_mask), SIZE);
    // The line that was drawn: across the upper half, not below.
    const marked = (x: number, y: number) => mask[y * 64 + x] === 1;
    expect([marked(16, 16), marked(32, 16), marked(48, 16)]).toEqual([true, true, true]);
    expect([marked(4, 16), marked(60, 16), marked(32, 40)]).toEqual([false, false, false]);
    const before = tensorToRgb((await readInitialPicture(wide, SIZE)).data, 64, 64);
    const { data: after } = await decodeImage(file(made.hash));
    const differs = (i: number) => [0, 1, 2].some((c) => before[3 * i + c] !== after[3 * i + c]);
    const pixels = mask.keys().toArray();
    expect(pixels.filter((i) => mask[i] === 0 && differs(i))).toEqual([]);
    const inside = pixels.filter((i) => mask[i] === 1);
    expect(inside.filter(differs).length / inside.length).toBeGreaterThan(0.95);
  });

  test('is known of the picture: it is made again with it, and taken over with its settings', async () => {
    await id('start-remove').click();
    await id('result').first().click();
    await id('started-from').waitFor();
    await id('reproduce').click();
    await id('reproduction').waitFor();
    expect(await id('reproduction').textContent()).toMatch(/Identical, to the last byte/);
    await shoot('4-known');
    await session.window.page.getByRole('button', { name: 'Use these settings' }).click();
    await id('mask-open').click();
    await expect.poll(percent).toBeGreaterThan(8);
    await shoot('5-taken-over');
    const before = newest();
    await id('mask-done').click();
    await id('seed').fill('99');
    await id('generate-start').click();
    await expect.poll(() => newest().hash, { timeout: LONG }).not.toBe(before.hash);
    expect(newest().start_mask).toBe(before.start_mask);
    expect(session.window.complaints).toEqual([]);
  });
});
