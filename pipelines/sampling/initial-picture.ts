import { createHash } from 'node:crypto';
import { NorthlightError } from '#models/errors.ts';
import { sha256File } from '#models/files.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { decodeImage, type RgbImage, resizeRgb, rgbToTensor } from '#pipelines/images/images.ts';
import { skippedSteps } from './image-to-image.ts';
import type { PictureStart } from './picture-start.ts';

/** What to start from: paths or contents of the picture and the mask. */
export interface StartFiles {
  readonly picture: string | Uint8Array;
  readonly mask?: string | Uint8Array | undefined;
  readonly strength: number;
}

/**
 * Reads what to start from, at the size a model makes.
 * @throws {NorthlightError} `picture/unreadable`, `sampling/mask`, `sampling/strength`, or of a file that cannot be read.
 */
export async function readStart(files: StartFiles, size: PixelSize): Promise<PictureStart> {
  skippedSteps(1, files.strength);
  const { picture, mask, strength } = files;
  return {
    picture: await readInitialPicture(picture, size),
    pictureHash: hashOf(picture),
    mask: mask === undefined ? null : await readMask(mask, size),
    maskHash: mask === undefined ? null : hashOf(mask),
    strength,
  };
}

const hashOf = (file: string | Uint8Array): string =>
  typeof file === 'string' ? sha256File(file) : createHash('sha256').update(file).digest('hex');

export interface PixelSize {
  readonly width: number;
  readonly height: number;
}

/**
 * A picture file (path or content) at the size a model makes: upright, scaled until it covers, cut evenly at both ends.
 * @returns `[3, H, W]` in −1…1.
 * @throws {NorthlightError} `picture/unreadable`
 */
export async function readInitialPicture(file: string | Uint8Array, size: PixelSize): Promise<Tensor<'float32'>> {
  const { data } = await covering(await decodeImage(file), size);
  return f32([3, size.height, size.width], rgbToTensor(data, size.width, size.height));
}

/**
 * A mask file (path or content) at the size a model makes, cut as the picture is: white is what shall change, black what stays.
 * @returns `[H·W]` of 1 and 0.
 * @throws {NorthlightError} `picture/unreadable`, `sampling/mask` where nothing is marked.
 */
export async function readMask(file: string | Uint8Array, size: PixelSize): Promise<Float32Array> {
  const { data } = await covering(await decodeImage(file), size);
  const mask = new Float32Array(size.width * size.height);
  for (let i = 0; i < mask.length; i++) {
    mask[i] = data[3 * i]! + data[3 * i + 1]! + data[3 * i + 2]! > 3 * 127.5 ? 1 : 0;
  }
  if (mask.includes(1)) return mask;
  throw new NorthlightError(
    'sampling/mask',
    'The mask marks nothing: it is black where the picture is.',
    'Paint white over what shall change.',
  );
}

async function covering(image: RgbImage, { width, height }: PixelSize): Promise<RgbImage> {
  const scale = Math.min(image.width / width, image.height / height);
  const [w, h] = [width, height].map((side) => Math.max(1, Math.round(side * scale))) as [number, number];
  const cropped = crop(image, Math.floor((image.width - w) / 2), Math.floor((image.height - h) / 2), w, h);
  if (w === width && h === height) return { data: cropped, width, height };
  return { data: await resizeRgb(cropped, w, h, width, height), width, height };
}

function crop({ data, width }: RgbImage, left: number, top: number, w: number, h: number): Uint8Array {
  const out = new Uint8Array(w * h * 3);
  for (let y = 0; y < h; y++) {
    const from = ((top + y) * width + left) * 3;
    out.set(data.subarray(from, from + w * 3), y * w * 3);
  }
  return out;
}
