import { type MaskMark, type Size, usedPart } from '#renderer/logic/mask.ts';
import { pictureUrl } from '#renderer/state/host.ts';

type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;
type Stroke = Extract<MaskMark, { kind: 'stroke' }>;

/** Where an alpha counts as marked. */
const MARKED = 128;
/** Of marks on the screen, where they are translucent. */
const TINT = '#e5007d';

const loaded = new Map<string, Promise<HTMLImageElement>>();

/** A picture of the project, decoded; asked for once. */
export function loadPicture(hash: string): Promise<HTMLImageElement> {
  const known = loaded.get(hash);
  if (known) return known;
  const image = new Image();
  image.src = pictureUrl(hash);
  const coming = image.decode().then(() => image);
  loaded.set(hash, coming);
  coming.catch(() => loaded.delete(hash));
  return coming;
}

/** Draws a mask anew, opaque where it marks, over a canvas of what is made of a picture of `picture` pixels. */
export async function drawMask(context: Context, marks: readonly MaskMark[], picture: Size): Promise<void> {
  const pictures = new Map<string, HTMLImageElement>();
  for (const mark of marks) if (mark.kind === 'picture') pictures.set(mark.hash, await loadPicture(mark.hash));
  const { width, height } = context.canvas;
  context.fillStyle = TINT;
  context.clearRect(0, 0, width, height);
  for (const mark of marks) {
    if (mark.kind === 'stroke') drawStroke(context, mark, picture);
    else if (mark.kind === 'clear') context.clearRect(0, 0, width, height);
    else if (mark.kind === 'invert') {
      // Keeps the new filling where there was none.
      context.globalCompositeOperation = 'source-out';
      context.fillRect(0, 0, width, height);
      context.globalCompositeOperation = 'source-over';
    } else drawWhite(context, pictures.get(mark.hash)!);
  }
}

/** Draws a stroke, or the newest part of one. */
export function drawStroke(context: Context, { erase, size, points }: Stroke, picture: Size): void {
  const { left, top, scale } = usedPart(picture, context.canvas);
  const [first, ...rest] = points.map(({ x, y }) => [(x - left) * scale, (y - top) * scale] as const);
  if (!first) return;
  context.save();
  context.globalCompositeOperation = erase ? 'destination-out' : 'source-over';
  context.strokeStyle = TINT;
  context.lineWidth = size * scale;
  context.lineCap = 'round';
  context.lineJoin = 'round';
  context.beginPath();
  context.moveTo(...first);
  // A line of no length is a dot.
  for (const point of rest.length > 0 ? rest : [first]) context.lineTo(...point);
  context.stroke();
  context.restore();
}

/** Marks where a picture that covers the canvas is white. */
function drawWhite(context: Context, image: HTMLImageElement): void {
  const { width, height } = context.canvas;
  const part = usedPart({ width: image.naturalWidth, height: image.naturalHeight }, { width, height });
  const copy = new OffscreenCanvas(width, height).getContext('2d')!;
  copy.drawImage(image, part.left, part.top, part.width, part.height, 0, 0, width, height);
  const pixels = copy.getImageData(0, 0, width, height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    pixels.data[i + 3] = pixels.data[i]! + pixels.data[i + 1]! + pixels.data[i + 2]! > 3 * 127.5 ? 255 : 0;
  }
  copy.putImageData(pixels, 0, 0);
  copy.globalCompositeOperation = 'source-in';
  copy.fillStyle = TINT;
  copy.fillRect(0, 0, width, height);
  context.drawImage(copy.canvas, 0, 0);
}

/** How much of a canvas is marked, 0…1. */
export function shareOf(context: Context): number {
  const { width, height } = context.canvas;
  const { data } = context.getImageData(0, 0, width, height);
  let marked = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i]! >= MARKED) marked++;
  return marked / (width * height);
}

/**
 * A mask as a picture file, white where it marks and black elsewhere, of the size that is made; null where it marks nothing.
 * @param start hash of the picture to start from.
 */
export async function maskFile(marks: readonly MaskMark[], start: string, made: Size): Promise<Blob | null> {
  const image = await loadPicture(start);
  const context = new OffscreenCanvas(made.width, made.height).getContext('2d')!;
  await drawMask(context, marks, { width: image.naturalWidth, height: image.naturalHeight });
  if (shareOf(context) === 0) return null;
  const pixels = context.getImageData(0, 0, made.width, made.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    pixels.data.fill(pixels.data[i + 3]! >= MARKED ? 255 : 0, i, i + 3);
    pixels.data[i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return context.canvas.convertToBlob({ type: 'image/png' });
}
