import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodePng } from '#pipelines/images/images.ts';
import { readInitialPicture, readMask, readStart } from '#pipelines/sampling/initial-picture.ts';
import { compose, feathered, latentMask } from '#pipelines/sampling/inpaint.ts';

const sized = fc
  .record({ w: fc.integer({ min: 1, max: 5 }), h: fc.integer({ min: 1, max: 5 }), factor: fc.constantFrom(1, 2, 4) })
  .chain(({ w, h, factor }) =>
    fc.record({
      factor: fc.constant(factor),
      width: fc.constant(w * factor),
      height: fc.constant(h * factor),
      mask: fc
        .array(fc.constantFrom(0, 1), { minLength: w * h * factor ** 2, maxLength: w * h * factor ** 2 })
        .map((m) => Float32Array.from(m)),
    }),
  );

describe('a mask', () => {
  prop.prop([sized])(
    'of latents covers exactly the cells that have a marked pixel',
    ({ width, height, factor, mask }) => {
      const cells = latentMask(mask, width, height, factor);
      expect(cells.length).toBe((width / factor) * (height / factor));
      cells.forEach((cell, i) => {
        const [cx, cy] = [i % (width / factor), Math.floor(i / (width / factor))];
        const pixels = [...mask].filter(
          (_, p) => Math.floor((p % width) / factor) === cx && Math.floor(p / width / factor) === cy,
        );
        expect(cell).toBe(Math.max(...pixels));
      });
    },
  );

  prop.prop([sized, fc.integer({ min: 0, max: 4 })])(
    'with a border falls in a straight line with the distance along rows and columns',
    ({ width, height, mask }, border) => {
      const soft = feathered(mask, width, height, border);
      soft.forEach((share, p) => {
        const [x, y] = [p % width, Math.floor(p / width)];
        let nearest = Number.POSITIVE_INFINITY;
        mask.forEach((m, q) => {
          if (m === 1) nearest = Math.min(nearest, Math.abs((q % width) - x) + Math.abs(Math.floor(q / width) - y));
        });
        expect(share).toBeCloseTo(Math.max(0, 1 - nearest / (border + 1)), 5);
      });
    },
  );

  test('composes: the original exactly where the share is 0, what was made where it is 1', () => {
    const made = Float32Array.of(Number.NaN, 0.5, 1, Number.NaN, 0.5, 1);
    const original = Float32Array.of(0.1, 0.2, 0.3, 0.4, 0.5, 0.6);
    const out = compose(made, original, Float32Array.of(0, 0.5, 1));
    expect([...out]).toEqual([...Float32Array.of(0.1, 0.35, 1, 0.4, 0.5, 1)]);
  });
});

/** A picture whose red is its column and green its row. */
const grid = (width: number, height: number) =>
  encodePng(
    Uint8Array.from({ length: width * height * 3 }, (_, i) => {
      const p = Math.floor(i / 3);
      return [p % width, Math.floor(p / width), 0][i % 3]!;
    }),
    width,
    height,
  );
const bytes = (x: Float32Array) => [...x].map((v) => Math.round((v + 1) * 127.5));

describe('the picture to start from', () => {
  test('is cut evenly at both ends, and at the right size not scaled at all', async () => {
    const wide = await readInitialPicture(await grid(10, 4), { width: 4, height: 4 });
    expect(wide.dims).toEqual([3, 4, 4]);
    expect(bytes(wide.data.slice(0, 4))).toEqual([3, 4, 5, 6]);
    const tall = await readInitialPicture(await grid(4, 9), { width: 4, height: 4 });
    expect(bytes(tall.data.slice(16, 32)).filter((_, i) => i % 4 === 0)).toEqual([2, 3, 4, 5]);
    const same = await readInitialPicture(await grid(5, 3), { width: 5, height: 3 });
    expect(bytes(same.data.slice(0, 5))).toEqual([0, 1, 2, 3, 4]);
  });

  test('is scaled until it covers: an even picture stays even at any size', async () => {
    const even = await encodePng(new Uint8Array(7 * 3 * 3).fill(51), 7, 3);
    for (const size of [
      { width: 16, height: 16 },
      { width: 2, height: 5 },
    ]) {
      const { data, dims } = await readInitialPicture(even, size);
      expect(dims).toEqual([3, size.height, size.width]);
      expect(new Set(bytes(data))).toEqual(new Set([51]));
    }
  });

  test('and its mask are cut alike, white being what changes', async () => {
    const painted = new Uint8Array(10 * 4 * 3);
    // Column 4 of ten: column 1 of the middle four.
    for (let y = 0; y < 4; y++) painted.fill(255, (y * 10 + 4) * 3, (y * 10 + 5) * 3);
    const mask = await readMask(await encodePng(painted, 10, 4), { width: 4, height: 4 });
    expect([...mask]).toEqual([0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]);
  });

  test('is refused with what to do: a black mask, a strength beyond 1, a file that is no picture', async () => {
    const picture = await grid(4, 4);
    const size = { width: 4, height: 4 };
    const black = await encodePng(new Uint8Array(48), 4, 4);
    await expect(readStart({ picture, mask: black, strength: 0.5 }, size)).rejects.toMatchObject({
      code: 'sampling/mask',
    });
    await expect(readStart({ picture, strength: 1.5 }, size)).rejects.toMatchObject({ code: 'sampling/strength' });
    await expect(readStart({ picture: Buffer.from('text'), strength: 1 }, size)).rejects.toMatchObject({
      code: 'picture/unreadable',
    });
    await expect(readStart({ picture: 'no-such-file.png', strength: 1 }, size)).rejects.toThrow(/no-such-file/);
  });
});
