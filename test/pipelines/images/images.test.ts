import { fc, test } from '@fast-check/vitest';
import sharp from 'sharp';
import { describe, expect } from 'vitest';
import {
  contactSheet,
  decodeImage,
  encodePng,
  jpegSize,
  rasterizeSvg,
  resizeRgb,
  rgbToTensor,
  tensorToRgb,
} from '#pipelines/images/images.ts';
import { readPngText } from '#pipelines/images/png-text.ts';

const RED = [255, 0, 0];
const BLUE = [0, 0, 255];

const picture = fc
  .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }))
  .chain(([width, height]) =>
    fc
      .uint8Array({ minLength: width * height * 3, maxLength: width * height * 3 })
      .map((rgb) => ({ rgb, width, height })),
  );

describe('pictures', () => {
  test.prop([picture], { numRuns: 30 })('a PNG keeps every pixel', async ({ rgb, width, height }) => {
    const back = await decodeImage(await encodePng(rgb, width, height, { note: 'x' }));
    expect([back.width, back.height]).toEqual([width, height]);
    expect(Buffer.from(back.data)).toEqual(Buffer.from(rgb));
  });

  test.prop([picture])('bytes survive the way through a tensor', ({ rgb, width, height }) => {
    const chw = rgbToTensor(rgb, width, height);
    expect(Math.max(...chw.map(Math.abs))).toBeLessThanOrEqual(1);
    expect(Buffer.from(tensorToRgb(chw, width, height))).toEqual(Buffer.from(rgb));
  });

  test('tensor planes become interleaved bytes, rounded and clamped', () => {
    // Two pixels: (−1, 0, 1) and (−7, 0.5, 9). 0 → 127.5 rounds up to 128; 0.5 → 191.25 rounds to 191.
    expect([...tensorToRgb(Float32Array.of(-1, -7, 0, 0.5, 1, 9), 2, 1)]).toEqual([0, 128, 255, 0, 191, 255]);
    expect([...tensorToRgb(Float32Array.of(1, -1), 2, 1)]).toEqual([255, 255, 255, 0, 0, 0]);
    expect(tensorToRgb(Float32Array.of(Number.NaN, 0, 0), 1, 1)[0]).toBe(0);
  });

  test('numbers become bytes by ⌊(x + 1)·127.5 + ½⌋ also beside every half', () => {
    const words = new Int32Array(1);
    const float = new Float32Array(words.buffer);
    const near: number[] = [];
    for (let k = 0; k < 255; k++) {
      // The half in the middle is exact: 0, of the test above.
      if (k === 127) continue;
      float[0] = (2 * k + 1) / 255 - 1;
      for (const step of [-2, 1, 1, 1, 1]) {
        words[0]! += step;
        near.push(float[0]!);
      }
    }
    const expected = near.map((x) => Math.min(255, Math.max(0, Math.floor((x + 1) * 127.5 + 0.5))));
    expect([...tensorToRgb(Float32Array.from(near), near.length, 1)].filter((_, i) => i % 3 === 0)).toEqual(expected);
  });

  test('the same pixels and text give the same bytes, and the text can be read', async () => {
    const rgb = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7) % 256);
    const text = { parameters: 'a red daisy', seed: '3' };
    const first = await encodePng(rgb, 64, 64, text);
    expect(first.equals(await encodePng(rgb, 64, 64, text))).toBe(true);
    expect(readPngText(first)).toEqual(text);
  });

  test('an SVG is stretched to the size asked for, on white', async () => {
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="2" height="4" fill="#ff0000"/>
      <rect x="2" width="2" height="2" fill="#000000" opacity="0.5"/></svg>`;
    const rgb = await rasterizeSvg(svg, 8, 6);
    const at = (x: number, y: number) => [...rgb.subarray((y * 8 + x) * 3, (y * 8 + x) * 3 + 3)];
    expect(rgb).toHaveLength(8 * 6 * 3);
    expect(at(1, 3)).toEqual([255, 0, 0]);
    expect(at(6, 5)).toEqual([255, 255, 255]);
    for (const x of at(6, 1)) expect(Math.abs(x - 127.5)).toBeLessThanOrEqual(1.5);
    await expect(rasterizeSvg('<svg', 8, 8)).rejects.toMatchObject({ code: 'picture/svg' });
  });

  test('nearest resizing repeats pixels exactly', async () => {
    const big = await resizeRgb(Uint8Array.of(1, 2, 3, 200, 201, 202), 2, 1, 4, 2, 'nearest');
    const row = [1, 2, 3, 1, 2, 3, 200, 201, 202, 200, 201, 202];
    expect([...big]).toEqual([...row, ...row]);
  });

  test('a flat picture makes a smaller JPEG than noise, and higher quality a larger one', async () => {
    const flat = new Uint8Array(64 * 64 * 3).fill(90);
    let state = 1;
    const noise = flat.map(() => {
      state = Math.imul(state, 1103515245) + 12345;
      return (state >>> 16) & 255;
    });
    expect(await jpegSize(flat, 64, 64, 80)).toBeLessThan((await jpegSize(noise, 64, 64, 80)) / 5);
    expect(await jpegSize(noise, 64, 64, 30)).toBeLessThan(await jpegSize(noise, 64, 64, 95));
  });

  test('a contact sheet puts pictures in reading order', async () => {
    const solid = (v: number) => ({ rgb: new Uint8Array(8 * 8 * 3).fill(v), width: 8, height: 8 });
    const sheet = await decodeImage(await contactSheet([solid(0), solid(100), solid(200)], 2));
    expect([sheet.width, sheet.height]).toEqual([28, 28]);
    const at = (x: number, y: number) => sheet.data[(y * sheet.width + x) * 3];
    expect([at(6, 6), at(18, 6), at(6, 18), at(18, 18)]).toEqual([0, 100, 200, 255]);
    const labelled = await decodeImage(await contactSheet([{ ...solid(0), label: 'a < b & c' }], 1));
    expect(labelled.height).toBeGreaterThan(20);
  });

  test('a JPEG with bytes between its segments is read all the same, and turned as its EXIF says', async () => {
    const wide = sharp(Uint8Array.of(...RED, ...BLUE), { raw: { width: 2, height: 1, channels: 3 } });
    const jpeg = await wide
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
      .toBuffer();
    const odd = Buffer.concat([jpeg.subarray(0, 2), Buffer.of(1, 2, 3), jpeg.subarray(2)]);
    for (const file of [jpeg, odd]) expect(await decodeImage(file)).toMatchObject({ width: 1, height: 2 });
  });

  test('what cannot be read or does not fit is refused by name', async () => {
    await expect(decodeImage(Buffer.from('not a picture'))).rejects.toMatchObject({ code: 'picture/unreadable' });
    await expect(decodeImage('no-such-picture.png')).rejects.toThrow(/no-such-picture\.png/);
    await expect(encodePng(new Uint8Array(5), 1, 2)).rejects.toMatchObject({ code: 'picture/size' });
    expect(() => tensorToRgb(new Float32Array(5), 1, 2)).toThrow(expect.objectContaining({ code: 'picture/size' }));
  });
});
