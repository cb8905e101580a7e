import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createReward } from '#pipelines/rewards/index.ts';
import { oklab } from '#pipelines/rewards/oklab.ts';
import type { ImageItem } from '#pipelines/rewards/types.ts';
import { picture } from './pictures.ts';

const score = async (spec: string, ...items: ImageItem[]): Promise<number[]> =>
  Array.from(await (await createReward(spec)).score(items));
const one = async (spec: string, item: ImageItem) => (await score(spec, item))[0]!;
const grey = (width: number, height: number, tone: (x: number, y: number) => number) =>
  picture(width, height, (x, y) => [tone(x, y), tone(x, y), tone(x, y)]);
const byte = fc.integer({ min: 0, max: 255 });
const pixels = fc.array(byte, { minLength: 36, maxLength: 36 });

describe('sharpness', () => {
  test('of a plane is 0, and of a chequerboard the square of eight times its tone', async () => {
    expect(
      await one(
        'sharpness',
        grey(9, 7, (x, y) => 10 * x + 5 * y),
      ),
    ).toBeCloseTo(0, 6);
    // Laplacians are ±400 in equal number on 4 × 4 inner pixels.
    expect(
      await one(
        'sharpness',
        grey(6, 6, (x, y) => ((x + y) % 2) * 100),
      ),
    ).toBeCloseTo(160_000, 2);
    expect(
      await one(
        'sharpness',
        grey(2, 2, (x) => x * 99),
      ),
    ).toBe(0);
  });

  prop.prop([pixels])('of twice the tones is four times as high', async (tones) => {
    const half = tones.map((t) => t >> 1);
    const [a, b] = await score(
      'sharpness',
      grey(6, 6, (x, y) => half[y * 6 + x]!),
      grey(6, 6, (x, y) => 2 * half[y * 6 + x]!),
    );
    expect(b! / 4).toBeCloseTo(a!, 1);
  });
});

describe('contrast', () => {
  test('of one tone is 0, of half black and half white a half', async () => {
    expect(
      await score(
        'contrast',
        grey(4, 4, () => 90),
        grey(4, 4, (x) => (x % 2) * 255),
      ),
    ).toEqual([0, 0.5]);
  });

  prop.prop([pixels, fc.integer({ min: 0, max: 100 })])(
    'does not change with a shift of tones',
    async (tones, shift) => {
      const half = tones.map((t) => t >> 1);
      const [a, b] = await score(
        'contrast',
        grey(6, 6, (x, y) => half[y * 6 + x]!),
        grey(6, 6, (x, y) => half[y * 6 + x]! + shift),
      );
      expect(b!).toBeCloseTo(a!, 6);
    },
  );
});

describe('edge-density', () => {
  test('is the share of inner pixels beside a step', async () => {
    // Columns 4 and 5 of inner columns 1 … 8 see the step of 200 between 4 and 5.
    const step = grey(10, 6, (x) => (x < 5 ? 20 : 220));
    expect(await one('edge-density', step)).toBeCloseTo(2 / 8, 6);
    expect(await one('edge-density:threshold=101', step)).toBe(0);
    // A ramp of 20 a pixel has that gradient everywhere.
    const ramp = grey(10, 6, (x) => 20 * x);
    expect(await score('edge-density:threshold=19.9', ramp)).toEqual([1]);
    expect(await score('edge-density:threshold=20.1', ramp)).toEqual([0]);
  });
});

describe('bits-per-pixel', () => {
  test('is the size of the JPEG that incompressibility counts, by pixel', async () => {
    const noisy = grey(24, 16, (x, y) => (Math.imul(x * 31 + y * 17, 2654435761) >>> 20) & 255);
    const kilobytes = await one('incompressibility:quality=80', noisy);
    expect(await one('bits-per-pixel:quality=80', noisy)).toBeCloseTo((kilobytes * 8000) / (24 * 16), 3);
  });
});

describe('balance', () => {
  const spot = (at: number, to: number) => grey(9, 9, (x, y) => (x === at && y === to ? 255 : 0));
  test('is 1 for what is in the middle or mirrored, and falls to the corner', async () => {
    const [middle, side, corner, flat] = await score('balance', spot(4, 4), spot(8, 4), spot(8, 8), spot(20, 20));
    expect(middle).toBeCloseTo(1, 6);
    expect(flat).toBe(1);
    expect(side!).toBeLessThan(middle!);
    expect(corner!).toBeLessThan(side!);
    // The background has in all as much contrast as the spot, and its centre 1/80 beyond the middle.
    expect(corner).toBeCloseTo(1 - 0.5 * (1 - 1 / 80), 5);
  });
});

describe('palette-distance', () => {
  test('Oklab is that of its author', () => {
    // Ottosson's table of pairs, by way of sRGB: white is (1, 0, 0), and red 0.6279554, 0.2248631, 0.1258463.
    for (const [i, v] of oklab(255, 255, 255).entries()) expect(v).toBeCloseTo([1, 0, 0][i]!, 6);
    for (const [i, v] of oklab(255, 0, 0).entries()) expect(v).toBeCloseTo([0.6279554, 0.2248631, 0.1258463][i]!, 5);
  });

  test('is 0 for the colours themselves, 1 for black instead of white, and counts the nearest', async () => {
    const two = picture(2, 1, (x) => (x === 0 ? [255, 0, 0] : [0, 0, 255]));
    expect(await one('palette-distance:#ff0000+0000ff', two)).toBe(0);
    expect(
      await one(
        'palette-distance:#FFFFFF',
        grey(3, 3, () => 0),
      ),
    ).toBeCloseTo(1, 5);
    const all = await one('palette-distance:#ff0000', two);
    expect(
      await one(
        'palette-distance:#ff0000',
        picture(1, 1, () => [0, 0, 255]),
      ),
    ).toBeCloseTo(2 * all, 5);
    expect((await createReward('palette-distance:#000000')).higherIsBetter).toBe(false);
  });

  prop.prop([byte, byte, byte])('falls or stays with one more colour', async (r, g, b) => {
    const item = picture(1, 1, () => [r, g, b]);
    expect(await one('palette-distance:#204080+#f0e0c0', item)).toBeLessThanOrEqual(
      await one('palette-distance:#204080', item),
    );
  });

  test('refuses what is no colour', async () => {
    await expect(createReward('palette-distance:red')).rejects.toThrow(/colours/);
    await expect(createReward('palette-distance')).rejects.toMatchObject({ code: 'reward/option' });
  });
});
