import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Rng } from '#models/tensor/rng.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { inTiles, tileShares, tileStarts } from '#pipelines/sampling/tiles.ts';

const lengths = fc.integer({ min: 1, max: 300 });
const sizes = fc.integer({ min: 4, max: 100 });

describe('tiles along an axis', () => {
  prop.prop([lengths, sizes])('cover it from end to end, and neighbours share a quarter at least', (length, size) => {
    const starts = tileStarts(length, size);
    expect(starts[0]).toBe(0);
    if (size < length) expect(starts.at(-1)! + size).toBe(length);
    for (const [k, start] of starts.slice(1).entries()) {
      expect(start).toBeGreaterThan(starts[k]!);
      expect(starts[k]! + size - start).toBeGreaterThanOrEqual(size / 4);
    }
  });

  prop.prop([lengths, sizes, fc.constantFrom(1, 2, 8)], { numRuns: 50 })(
    'share every place to a sum of 1, with nothing outside a tile or within a sixteenth of a tile of its inner edges',
    (length, size, scale) => {
      const starts = tileStarts(length, size);
      const shares = tileShares(length, size, scale);
      const margin = (size / 16) * scale;
      const sums = Array.from({ length: length * scale }, (_, p) => shares.reduce((sum, share) => sum + share[p]!, 0));
      expect(Math.max(...sums.map((v) => Math.abs(v - 1)))).toBeLessThan(1e-12);
      const outside = shares.map((share, k) => {
        const low = starts[k] === 0 ? 0 : starts[k]! * scale + margin - 1;
        const high = starts[k]! + size >= length ? length * scale : (starts[k]! + size) * scale - margin + 1;
        return share.filter((v, p) => v < 0 || (v > 0 && (p < low || p > high))).length;
      });
      expect(outside).toEqual(shares.map(() => 0));
    },
  );

  test('go over from one to the next in a straight line', () => {
    // Two tiles of 8 over 12 share 4 places, whose middle two are between 1 and 0.
    const [first, second] = tileShares(12, 8, 1);
    expect([...first!].map((v) => Number(v.toFixed(9)))).toEqual([1, 1, 1, 1, 1, 0.75, 0.25, 0, 0, 0, 0, 0]);
    expect([...second!].map((v, i) => v + first![i]!)).toEqual(new Array(12).fill(1));
  });
});

/** Each cell's value in squares of `scale`, plus where in its square an element stands: local in the strictest sense. */
const enlarge =
  (scale: number, seen: number[][] = []) =>
  async ({ data, dims }: Tensor<'float32'>): Promise<Tensor<'float32'>> => {
    const [c, h, w] = dims as [number, number, number];
    seen.push([h, w]);
    const out = new Float32Array(c * h * w * scale * scale);
    for (let k = 0; k < out.length; k++) {
      const x = k % (w * scale);
      const y = Math.floor(k / (w * scale)) % (h * scale);
      const plane = Math.floor(k / (w * h * scale * scale));
      out[k] =
        data[(plane * h + Math.floor(y / scale)) * w + Math.floor(x / scale)]! + (x % scale) / 10 + (y % scale) / 7;
    }
    return f32([c, h * scale, w * scale], out);
  };

const random = (dims: [number, number, number]) =>
  f32(dims, new Rng(3).fillNormal(new Float32Array(dims[0] * dims[1] * dims[2])));

describe('in tiles', () => {
  const side = fc.integer({ min: 4, max: 30 });
  prop.prop([side, side, side, side, fc.constantFrom(1, 2, 4)], { numRuns: 40 })(
    'a local function gives what it gives of the whole',
    async (height, width, th, tw, scale) => {
      const input = random([2, height, width]);
      const whole = await enlarge(scale)(input);
      const seen: number[][] = [];
      const tiled = await inTiles(input, { tile: [th, tw], cell: 1 }, enlarge(scale, seen));
      expect(tiled.dims).toEqual(whole.dims);
      expect(Math.max(...tiled.data.map((v, i) => Math.abs(v - whole.data[i]!)))).toBeLessThan(1e-5);
      // Every tile is of the size asked for, so that an export for one size can be used.
      expect(new Set(seen.map(String))).toEqual(new Set([`${Math.min(th, height)},${Math.min(tw, width)}`]));
    },
  );

  test('a constant stays one without a seam', async () => {
    const input = f32([1, 40, 40], new Float32Array(1600).fill(0.7));
    const tiled = await inTiles(input, { tile: [16, 16], cell: 1 }, async (piece) => piece);
    for (const v of tiled.data) expect(Math.abs(v - 0.7)).toBeLessThan(1e-6);
  });

  test('one tile is the whole, bit for bit', async () => {
    const input = random([3, 6, 5]);
    expect((await inTiles(input, { tile: [9, 9], cell: 1 }, async (piece) => piece)).data).toEqual(input.data);
  });

  test('an array is cut between cells, also where the result is smaller', async () => {
    const input = random([1, 48, 64]);
    const means = async ({ data, dims }: Tensor<'float32'>) => {
      const [, h, w] = dims as [number, number, number];
      const out = new Float32Array((h * w) / 64);
      data.forEach((v, i) => {
        out[Math.floor(Math.floor(i / w) / 8) * (w / 8) + Math.floor((i % w) / 8)]! += v / 64;
      });
      return f32([1, h / 8, w / 8], out);
    };
    const whole = await means(input);
    const tiled = await inTiles(input, { tile: [4, 4], cell: 8 }, means);
    expect(tiled.dims).toEqual([1, 6, 8]);
    tiled.data.forEach((v, i) => {
      expect(v).toBeCloseTo(whole.data[i]!, 5);
    });
  });
});
