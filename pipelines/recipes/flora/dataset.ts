import { NorthlightError } from '#models/errors.ts';
import { Rng } from '#models/tensor/rng.ts';
import { rasterizeSvg } from '#pipelines/images/images.ts';
import { type FlowerAttributes, isHeldOut, sampleAttributes } from './attributes.ts';
import { caption } from './captions.ts';
import { drawFlower } from './drawing.ts';

/** Width and height of every picture in pixels. */
export const PICTURE_SIZE = 64;

/** Pictures drawn at a time; the rasteriser works off the main thread. */
const IN_FLIGHT = 4;

export type Split = 'train' | 'held-out';

export interface FlowerDataset {
  readonly count: number;
  /** `[count, 3, 64, 64]` colour planes, 0–255. */
  readonly pixels: Uint8Array;
  /** `[count]` */
  readonly attributes: readonly FlowerAttributes[];
}

export interface DatasetOptions {
  readonly count: number;
  readonly seed: number;
  readonly split: Split;
  readonly onProgress?: (done: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * `count` labelled flower pictures. Picture `i` is a pure function of (seed, split, i). The two splits share no
 * attribute combination (see {@link isHeldOut}).
 * @throws the signal's reason when aborted.
 */
export async function renderDataset(options: DatasetOptions): Promise<FlowerDataset> {
  const { count, seed, split } = options;
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new NorthlightError('flora/count', `${count} is not a number of pictures.`, 'Use a whole number.');
  }
  const root = new Rng(seed).fork('flora', split);
  const plane = PICTURE_SIZE * PICTURE_SIZE;
  const pixels = new Uint8Array(count * 3 * plane);
  const attributes = new Array<FlowerAttributes>(count);
  let next = 0;
  let done = 0;
  async function work(): Promise<void> {
    while (next < count) {
      options.signal?.throwIfAborted();
      const i = next++;
      const stream = root.fork(i);
      const a = sampleFromSplit(stream, split);
      attributes[i] = a;
      const rgb = await rasterizeSvg(drawFlower(a, stream.fork('drawing')), PICTURE_SIZE, PICTURE_SIZE);
      const at = i * 3 * plane;
      for (let p = 0; p < plane; p++) {
        for (let c = 0; c < 3; c++) pixels[at + c * plane + p] = rgb[p * 3 + c]!;
      }
      options.onProgress?.(++done);
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return { count, pixels, attributes };
}

/** Full captions of held-out combinations: prompts for pictures that training never showed. */
export function heldOutPrompts(
  count: number,
  seed: number,
): { readonly prompt: string; readonly attributes: FlowerAttributes }[] {
  const root = new Rng(seed).fork('flora', 'held-out prompts');
  return Array.from({ length: count }, (_, i) => {
    const stream = root.fork(i);
    const attributes = sampleFromSplit(stream, 'held-out');
    return { prompt: caption(attributes, stream), attributes };
  });
}

function sampleFromSplit(rng: Rng, split: Split): FlowerAttributes {
  for (;;) {
    const a = sampleAttributes(rng);
    if (isHeldOut(a) === (split === 'held-out')) return a;
  }
}
