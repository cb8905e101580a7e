import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { NorthlightError } from '#models/errors.ts';
import { isJpeg, withPlainExif } from './metadata/jpeg.ts';
import { LIMITS } from './metadata/limits.ts';
import { isPng, pixelsOfPng, withPngText } from './png-text.ts';

/**
 * Pictures in and out: the only import of the image library. Pixels are 8-bit sRGB, `[H, W, 3]` row-major ("HWC");
 * tensors are float32 planes `[3, H, W]` in −1…1.
 */

// One thread, no operation cache: jobs share the cores with a model, and the same call gives the same bytes.
sharp.concurrency(1);
sharp.cache(false);

export interface RgbImage {
  /** `[H, W, 3]` */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/**
 * A PNG of `rgb` (`[H, W, 3]`), with `text` in text chunks. The same pixels and text give the same bytes.
 * @throws {NorthlightError} `picture/size` when the pixels do not fit the size; see also {@link withPngText}.
 */
export async function encodePng(
  rgb: Uint8Array,
  width: number,
  height: number,
  text?: Readonly<Record<string, string>>,
): Promise<Buffer> {
  const png = await raw(rgb, width, height)
    .png({ compressionLevel: 9, adaptiveFiltering: false, palette: false })
    .toBuffer();
  return text ? withPngText(png, text) : png;
}

/**
 * Any picture file (PNG, JPEG, WebP, AVIF, GIF, TIFF, SVG), by path or content, turned upright, as sRGB on white.
 * @throws {NorthlightError} `picture/unreadable`, `picture/too-large` beyond 2²⁶ pixels, and those of `pixelsOfPng` and `withPlainExif`.
 */
export async function decodeImage(pathOrBytes: string | Uint8Array): Promise<RgbImage> {
  const what = typeof pathOrBytes === 'string' ? pathOrBytes : 'The picture';
  try {
    const bytes = typeof pathOrBytes === 'string' ? await readFile(pathOrBytes) : pathOrBytes;
    const { data, info } = await sharp(harmless(bytes, what), { failOn: 'error', limitInputPixels: LIMITS.pixels })
      .autoOrient()
      .toColourspace('srgb')
      .flatten({ background: '#ffffff' })
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { data: view(data), width: info.width, height: info.height };
  } catch (cause) {
    if (cause instanceof NorthlightError) throw cause;
    if (cause instanceof Error && cause.message.includes('pixel limit')) {
      throw new NorthlightError(
        'picture/too-large',
        `${what} has more than ${LIMITS.pixels} pixels.`,
        'Make it smaller, for example 4096 × 4096, with a picture editor.',
        { cause },
      );
    }
    throw unreadable(what, cause);
  }
}

/** The file without metadata that would cost the image library more than the pixels do. */
function harmless(bytes: Uint8Array, what: string): Uint8Array {
  if (isPng(bytes)) return pixelsOfPng(bytes, what);
  return isJpeg(bytes) ? withPlainExif(bytes, what) : bytes;
}

/**
 * EXIF and XMP of a picture in any format the image library knows, without decoding its pixels.
 * @throws {NorthlightError} `picture/unreadable`.
 */
export async function readMetadata(bytes: Uint8Array): Promise<{ exif: Uint8Array | null; xmp: Uint8Array | null }> {
  try {
    const { exif, xmp } = await sharp(bytes, { limitInputPixels: LIMITS.pixels }).metadata();
    return { exif: exif ?? null, xmp: xmp ?? null };
  } catch (cause) {
    throw unreadable('The picture', cause);
  }
}

/** `[height, width, 3]` pixels of an SVG drawing stretched to that size, on white. */
export async function rasterizeSvg(svg: string, width: number, height: number): Promise<Uint8Array> {
  try {
    const rgba = await sharp(Buffer.from(svg)).resize(width, height, { fit: 'fill' }).ensureAlpha().raw().toBuffer();
    return onWhite(rgba);
  } catch (cause) {
    throw new NorthlightError(
      'picture/svg',
      `The SVG drawing cannot be rendered: ${cause instanceof Error ? cause.message : String(cause)}`,
      'Check that it is well-formed SVG with a width, a height or a viewBox.',
      { cause },
    );
  }
}

/** `[n, 4]` to `[n, 3]`. The library's own flattening costs as much as drawing a small picture. */
function onWhite(rgba: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    const alpha = rgba[from + 3]!;
    for (let c = 0; c < 3; c++) {
      const x = rgba[from + c]!;
      rgb[to + c] = alpha === 255 ? x : Math.round((x * alpha + 255 * (255 - alpha)) / 255);
    }
  }
  return rgb;
}

/** The picture stretched to `newWidth × newHeight`; `nearest` keeps hard pixel edges. Returns `[H, W, 3]`. */
export async function resizeRgb(
  rgb: Uint8Array,
  width: number,
  height: number,
  newWidth: number,
  newHeight: number,
  kernel: 'nearest' | 'cubic' | 'lanczos3' = 'lanczos3',
): Promise<Uint8Array> {
  const data = await raw(rgb, width, height)
    .resize(newWidth, newHeight, { fit: 'fill', kernel })
    .toColourspace('srgb')
    .raw()
    .toBuffer();
  return view(data);
}

/** Bytes of the picture as a baseline JPEG of `quality` 1–100: a measure of how compressible it is. */
export async function jpegSize(rgb: Uint8Array, width: number, height: number, quality: number): Promise<number> {
  const jpeg = await raw(rgb, width, height).jpeg({ quality, progressive: false }).toBuffer();
  return jpeg.length;
}

/** Planes `[C, H, W]` in −1…1 (C = 3, or 1 for grey) to `[H, W, 3]` bytes: `round((x + 1)·127.5)`, clamped. NaN is 0. */
export function tensorToRgb(chw: Float32Array, width: number, height: number): Uint8Array {
  const plane = width * height;
  const channels = chw.length / plane;
  if (channels !== 3 && channels !== 1) throw sizeError(chw.length, width, height);
  // The array rounds and clamps by itself, and halves, which it rounds to even, are met at 127.5 alone.
  const rgb = new Uint8ClampedArray(plane * 3);
  const [green, blue] = channels === 3 ? [plane, 2 * plane] : [0, 0];
  for (let i = 0, k = 0; i < plane; i++, k += 3) {
    rgb[k] = (chw[i]! + 1) * 127.5;
    rgb[k + 1] = (chw[green + i]! + 1) * 127.5;
    rgb[k + 2] = (chw[blue + i]! + 1) * 127.5;
  }
  return new Uint8Array(rgb.buffer);
}

/** `[H, W, 3]` bytes to planes `[3, H, W]` in −1…1: `x / 127.5 − 1`. */
export function rgbToTensor(rgb: Uint8Array, width: number, height: number): Float32Array {
  const plane = width * height;
  if (rgb.length !== plane * 3) throw sizeError(rgb.length, width, height);
  const chw = new Float32Array(plane * 3);
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < 3; c++) chw[c * plane + i] = rgb[i * 3 + c]! / 127.5 - 1;
  }
  return chw;
}

/**
 * The picture file as a WebP that fits into `size × size`, never enlarged. Small ones keep every pixel: they are shown large.
 * @throws {NorthlightError} `picture/unreadable`.
 */
export async function encodeThumbnail(path: string, size: number): Promise<Buffer> {
  try {
    const picture = sharp(path, { failOn: 'error', limitInputPixels: LIMITS.pixels }).autoOrient();
    const { width, height } = await picture.metadata();
    const lossless = Math.max(width, height) <= size / 2;
    return await picture
      .resize(size, size, { fit: 'inside', withoutEnlargement: true })
      .webp(lossless ? { lossless, effort: 2 } : { quality: 82, effort: 2 })
      .toBuffer();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

export interface SheetImage {
  /** `[H, W, 3]` */
  readonly rgb: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly label?: string;
}

const SHEET_GAP = 4;
const SHEET_LABEL_HEIGHT = 14;

/** A PNG with the pictures in reading order, `columns` per row, on white, each above its label if any has one. */
export async function contactSheet(images: readonly SheetImage[], columns: number): Promise<Buffer> {
  if (images.length === 0 || !(columns >= 1)) {
    throw new NorthlightError('picture/sheet', 'A contact sheet needs at least one picture and one column.');
  }
  const across = Math.min(Math.floor(columns), images.length);
  const labelHeight = images.some((image) => image.label) ? SHEET_LABEL_HEIGHT : 0;
  const cellWidth = Math.max(...images.map((image) => image.width)) + SHEET_GAP;
  const cellHeight = Math.max(...images.map((image) => image.height)) + SHEET_GAP + labelHeight;
  const width = across * cellWidth + SHEET_GAP;
  const height = Math.ceil(images.length / across) * cellHeight + SHEET_GAP;
  const sheet = new Uint8Array(width * height * 3).fill(255);
  const labels: string[] = [];
  images.forEach((image, i) => {
    if (image.rgb.length !== image.width * image.height * 3)
      throw sizeError(image.rgb.length, image.width, image.height);
    const left = SHEET_GAP + (i % across) * cellWidth;
    const top = SHEET_GAP + Math.floor(i / across) * cellHeight;
    for (let y = 0; y < image.height; y++) {
      const row = image.rgb.subarray(y * image.width * 3, (y + 1) * image.width * 3);
      sheet.set(row, ((top + y) * width + left) * 3);
    }
    if (image.label) {
      const x = left + image.width / 2;
      labels.push(`<text x="${x}" y="${top + image.height + 11}">${escapeXml(image.label)}</text>`);
    }
  });
  if (labels.length === 0) return encodePng(sheet, width, height);
  const overlay = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif"
    font-size="10" text-anchor="middle" fill="#222">${labels.join('')}</svg>`;
  return raw(sheet, width, height)
    .composite([{ input: Buffer.from(overlay) }])
    .removeAlpha()
    .png({ compressionLevel: 9 })
    .toBuffer();
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function raw(rgb: Uint8Array, width: number, height: number): ReturnType<typeof sharp> {
  if (rgb.length !== width * height * 3) throw sizeError(rgb.length, width, height);
  return sharp(rgb, { raw: { width, height, channels: 3 } });
}

function unreadable(what: string, cause: unknown): NorthlightError {
  return new NorthlightError(
    'picture/unreadable',
    `${what} cannot be read as a picture: ${cause instanceof Error ? cause.message : String(cause)}`,
    'Check that the file exists and is a PNG, JPEG, WebP, AVIF, GIF, TIFF or SVG picture.',
    { cause },
  );
}

function sizeError(length: number, width: number, height: number): NorthlightError {
  return new NorthlightError(
    'picture/size',
    `A ${width} × ${height} picture in three colours has ${width * height * 3} values, but ${length} were given.`,
  );
}

function view(data: Buffer): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
