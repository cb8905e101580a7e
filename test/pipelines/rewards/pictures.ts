import type { ImageItem } from '#pipelines/rewards/types.ts';

/** A picture from the colour of each pixel. */
export function picture(
  width: number,
  height: number,
  colour: (x: number, y: number) => readonly [number, number, number],
): ImageItem {
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) rgb.set(colour(x, y), (y * width + x) * 3);
  return { kind: 'image', rgb, width, height, prompt: '' };
}

/** A fixed picture without structure, 8 × 4. */
export const pattern = picture(8, 4, (x, y) => [
  (x * 37 + y * 11) % 256,
  (x * x * 5 + y * 29) % 256,
  (x * 13 + y * y * 17) % 256,
]);
