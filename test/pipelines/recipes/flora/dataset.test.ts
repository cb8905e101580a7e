import { describe, expect, test } from 'vitest';
import { type AttributeValue, type FlowerAttributes, isHeldOut } from '#pipelines/recipes/flora/attributes.ts';
import { parseCaption } from '#pipelines/recipes/flora/captions.ts';
import { type FlowerDataset, heldOutPrompts, PICTURE_SIZE, renderDataset } from '#pipelines/recipes/flora/dataset.ts';

const PLANE = PICTURE_SIZE * PICTURE_SIZE;
const data = await renderDataset({ count: 300, seed: 20, split: 'train' });

type Rgb = readonly [number, number, number];

function pixel(set: FlowerDataset, i: number, p: number): Rgb {
  const at = i * 3 * PLANE + p;
  return [set.pixels[at]!, set.pixels[at + PLANE]!, set.pixels[at + 2 * PLANE]!];
}

/** Hue in degrees, and saturation and value of the HSV cone in 0…1. */
function hsv([r, g, b]: Rgb): Rgb {
  const max = Math.max(r, g, b);
  const d = max - Math.min(r, g, b);
  if (d === 0) return [0, 0, max / 255];
  const h = max === r ? ((g - b) / d + 6) % 6 : max === g ? (b - r) / d + 2 : (r - g) / d + 4;
  return [h * 60, d / max, max / 255];
}

/** What people call a colour, by ranges of hue and strength that owe nothing to the palette of the drawings. */
function colourName(rgb: Rgb): string {
  const [h, s, v] = hsv(rgb);
  if (v < 0.35) return 'dark';
  if (s < 0.14 && v > 0.75) return 'white';
  if (h >= 70 && h < 170) return 'green';
  if (h >= 325 || h < 12) return s < 0.66 && v > 0.8 ? 'pink' : 'red';
  if (h < 40) return 'orange';
  if (h < 70) return 'yellow';
  if (h < 250) return 'blue';
  return 'purple';
}

/** The named colour of most pixels in a window around the head, leaving out background, leaves and outlines. */
function headColour(set: FlowerDataset, i: number): string | undefined {
  const corner = pixel(set, i, 64 + 1);
  const found = new Map<string, number>();
  for (let y = 5; y < 38; y++) {
    for (let x = 15; x < 50; x++) {
      const rgb = pixel(set, i, y * 64 + x);
      const contrast = rgb.reduce((sum, v, c) => sum + Math.abs(v - corner[c]!), 0);
      const name = colourName(rgb);
      if (contrast > 45 && name !== 'dark' && name !== 'green') found.set(name, (found.get(name) ?? 0) + 1);
    }
  }
  return [...found].sort((p, q) => q[1] - p[1])[0]?.[0];
}

function share(
  holds: (a: FlowerAttributes, i: number) => boolean,
  of: (a: FlowerAttributes) => boolean = () => true,
): number {
  let right = 0;
  let all = 0;
  data.attributes.forEach((a, i) => {
    if (!of(a)) return;
    all++;
    if (holds(a, i)) right++;
  });
  expect(all).toBeGreaterThan(40);
  return right / all;
}

describe('flower pictures', () => {
  test('picture i depends on seed, split and i alone', async () => {
    const few = await renderDataset({ count: 12, seed: 20, split: 'train' });
    expect(Buffer.from(few.pixels)).toEqual(Buffer.from(data.pixels.subarray(0, 12 * 3 * PLANE)));
    expect(few.attributes).toEqual(data.attributes.slice(0, 12));
    const other = await renderDataset({ count: 12, seed: 21, split: 'train' });
    expect(Buffer.from(other.pixels).equals(Buffer.from(few.pixels))).toBe(false);
  });

  test('held-out combinations never appear in training, and are all there is in the held-out split', async () => {
    expect(data.attributes.filter(isHeldOut)).toEqual([]);
    const held = await renderDataset({ count: 20, seed: 20, split: 'held-out' });
    expect(held.attributes.every(isHeldOut)).toBe(true);
    for (const { prompt, attributes } of heldOutPrompts(50, 1)) {
      expect(isHeldOut(attributes)).toBe(true);
      expect({ centreColour: null, petalCount: null, ...parseCaption(prompt) }).toEqual(attributes);
    }
    expect(heldOutPrompts(5, 1)).toEqual(heldOutPrompts(50, 1).slice(0, 5));
  });

  test('the colour that fills the head is the petal colour', () => {
    const agreement = share((a, i) => headColour(data, i) === a.petalColour);
    expect(agreement).toBe(1);
  });

  test('leaves are seen: two show more green beside the stem than one, one more than none', () => {
    const mean = (value: AttributeValue<'leaves'>): number => {
      let sum = 0;
      let all = 0;
      data.attributes.forEach((a, i) => {
        if (a.leaves !== value) return;
        all++;
        // Between head and ground; green enough to be neither mint background nor teal vase.
        for (let p = 32 * 64; p < 52 * 64; p++) {
          const [h, s, v] = hsv(pixel(data, i, p));
          if (h > 85 && h < 160 && s > 0.35 && v < 0.85) sum++;
        }
      });
      return sum / all;
    };
    expect(mean('one leaf')).toBeGreaterThan(mean('no leaves') + 50);
    expect(mean('two leaves')).toBeGreaterThan(mean('one leaf') + 50);
  });

  test('backgrounds are told apart by their corners', () => {
    const agreement = share((a, i) => {
      const [h, , v] = hsv(pixel(data, i, 64 + 1));
      const name = v < 0.5 ? 'navy' : h < 70 ? 'cream' : h < 175 ? 'mint' : h < 235 ? 'sky' : 'lavender';
      return name === a.background;
    });
    expect(agreement).toBe(1);
  });

  test('the ground reaches the edges of the picture and a vase does not', () => {
    const agreement = share((a, i) => {
      const low = pixel(data, i, 62 * 64 + 1);
      const high = pixel(data, i, 40 * 64 + 1);
      const differs = low.reduce((sum, x, c) => sum + Math.abs(x - high[c]!), 0) > 60;
      return differs === (a.setting === 'on the ground');
    });
    expect(agreement).toBe(1);
  });

  test('the centre has its colour in the middle of the head', () => {
    const agreement = share(
      (a, i) => {
        // The centre of mass of the head is within a few pixels of the canvas axis: count over a small window.
        let best = 0;
        for (let p = 10 * 64; p < 32 * 64; p++) {
          const [h, s, v] = hsv(pixel(data, i, p));
          const x = p % 64;
          if (x < 22 || x > 42) continue;
          if (a.centreColour === 'brown' && v < 0.5 && s > 0.4 && (h < 40 || h > 340)) best++;
          if (a.centreColour === 'green' && h > 75 && h < 140 && s > 0.4) best++;
          if (a.centreColour === 'golden' && h > 32 && h < 56 && s > 0.6 && v > 0.7) best++;
        }
        return best >= 25;
      },
      (a) => a.centreColour !== null,
    );
    expect(agreement).toBe(1);
  });

  test('stopping is obeyed and progress reaches the end', async () => {
    const stop = AbortSignal.abort(new Error('stopped'));
    await expect(renderDataset({ count: 5, seed: 1, split: 'train', signal: stop })).rejects.toThrow('stopped');
    let last = 0;
    await renderDataset({ count: 5, seed: 1, split: 'train', onProgress: (done) => (last = done) });
    expect(last).toBe(5);
  });
});
