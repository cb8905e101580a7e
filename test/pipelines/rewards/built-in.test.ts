import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeImage, encodePng } from '#pipelines/images/images.ts';
import { builtInRewards, createReward, needsNoOptions } from '#pipelines/rewards/index.ts';
import type { ImageItem } from '#pipelines/rewards/types.ts';
import { pattern, picture } from './pictures.ts';

const score = async (spec: string, ...items: ImageItem[]): Promise<number[]> =>
  Array.from(await (await createReward(spec)).score(items));
const byte = fc.integer({ min: 0, max: 255 });
const flat = (r: number, g: number, b: number) => picture(8, 8, () => [r, g, b]);

describe('brightness', () => {
  test('is 0 for black, 1 for white and the luma weight of a primary', async () => {
    const scores = await score(
      'brightness',
      flat(0, 0, 0),
      flat(255, 255, 255),
      flat(255, 0, 0),
      flat(0, 255, 0),
      flat(0, 0, 255),
    );
    for (const [i, expected] of [0, 1, 0.2126, 0.7152, 0.0722].entries()) expect(scores[i]).toBeCloseTo(expected, 6);
  });

  test('of a fixed picture is what NumPy gives', async () => {
    expect((await score('brightness', pattern))[0]).toBeCloseTo(0.40244, 6);
  });
});

describe('warmth', () => {
  test('is 1 for red, −1 for blue, 0 for any grey and for a balanced picture', async () => {
    const half = picture(4, 1, (x) => (x < 2 ? [255, 9, 0] : [0, 70, 255]));
    expect(await score('warmth', flat(255, 0, 0), flat(0, 0, 255), flat(90, 90, 90), half)).toEqual([1, -1, 0, 0]);
  });

  test('of a fixed picture is what NumPy gives', async () => {
    expect((await score('warmth', pattern))[0]).toBeCloseTo(0.03529411764705882, 7);
  });
});

describe('colourfulness', () => {
  prop.prop([byte])('of a grey is 0', async (v) => {
    expect((await score('colourfulness', flat(v, v, v)))[0]).toBe(0);
  });

  test('of one colour is 0.3 times the length of its opponent coordinates', async () => {
    // Red: rg = 255, yb = 127.5.
    expect((await score('colourfulness', flat(255, 0, 0)))[0]).toBeCloseTo(0.3 * 255 * Math.sqrt(1.25), 4);
  });

  test('of a fixed picture is what NumPy gives', async () => {
    expect((await score('colourfulness', pattern))[0]).toBeCloseTo(104.27087760116507, 4);
  });
});

describe('symmetry', () => {
  prop.prop([fc.array(byte, { minLength: 4, maxLength: 4 })])(
    'of a picture mirrored onto itself is 1',
    async (half) => {
      const mirrored = picture(8, 2, (x) => {
        const v = half[x < 4 ? x : 7 - x]!;
        return [v, v, v];
      });
      expect((await score('symmetry', mirrored))[0]).toBeCloseTo(1, 6);
    },
  );

  test('of a left-right ramp is −1, of one tone 1, and blind to top and bottom', async () => {
    const ramp = picture(8, 3, (x) => [x * 30, x * 30, x * 30]);
    const vertical = picture(8, 3, (_, y) => [y * 30, y * 30, y * 30]);
    const scores = await score('symmetry', ramp, flat(77, 3, 200), vertical);
    for (const [i, expected] of [-1, 1, 1].entries()) expect(scores[i]).toBeCloseTo(expected, 6);
  });

  test('of a fixed picture is what NumPy gives', async () => {
    expect((await score('symmetry', pattern))[0]).toBeCloseTo(-0.31681759053844444, 6);
  });
});

describe('compressibility', () => {
  // Multiplicative hash of the position: no structure a JPEG could use.
  const noise = picture(32, 32, (x, y) => {
    const h = Math.imul(Math.imul(y * 32 + x + 1, 0x9e3779b1) ^ 0x85ebca6b, 0xc2b2ae35) >>> 8;
    return [h & 255, (h >> 8) & 255, (h >> 16) & 255];
  });

  test('prefers a flat picture to noise, and incompressibility the opposite by the same number', async () => {
    const [flatScore, noiseScore] = await score('compressibility', flat(1, 2, 3), noise);
    expect(flatScore!).toBeGreaterThan(noiseScore!);
    expect(noiseScore!).toBeLessThan(-1);
    expect(await score('incompressibility', flat(1, 2, 3), noise)).toEqual([-flatScore!, -noiseScore!]);
  });

  test('counts kB of a real JPEG file, fewer at lower quality', async () => {
    const [fine, coarse] = [
      (await score('incompressibility', noise))[0]!,
      (await score('incompressibility:quality=30', noise))[0]!,
    ];
    expect(fine * 1000).toBeCloseTo(Math.round(fine * 1000), 3);
    expect(coarse).toBeLessThan(fine / 1.5);
  });
});

describe('every built-in reward', () => {
  test.each([...builtInRewards.values()].map((r) => (needsNoOptions(r) ? r.name : `${r.name}:#204080`)))(
    '%s is finite, the same alone as in a batch, and unchanged by a lossless file',
    async (name) => {
      const saved = await decodeImage(await encodePng(pattern.rgb, pattern.width, pattern.height));
      const again = { ...pattern, rgb: saved.data };
      const [alone] = await score(name, pattern);
      const batch = await score(name, flat(5, 6, 7), pattern, again);
      expect(batch.every(Number.isFinite)).toBe(true);
      expect(batch.slice(1)).toEqual([alone, alone]);
    },
  );

  test('refuses sequences, unknown names and unknown or wrong options, and says what there is', async () => {
    const reward = await createReward('brightness');
    await expect(reward.score([{ kind: 'sequence', sequence: 'ACGT' }])).rejects.toMatchObject({ code: 'reward/kind' });
    await expect(createReward('brightnes')).rejects.toMatchObject({
      code: 'reward/unknown',
      hint: expect.stringContaining('brightness'),
    });
    await expect(createReward('compressibility:speed=3')).rejects.toMatchObject({
      code: 'reward/option',
      hint: expect.stringContaining('quality'),
    });
    await expect(createReward('compressibility:quality=high')).rejects.toThrow(/quality/);
    await expect(createReward('compressibility:quality')).rejects.toThrow(/key=value/);
    expect((await createReward('compressibility:quality=80')).higherIsBetter).toBe(true);
  });
});
