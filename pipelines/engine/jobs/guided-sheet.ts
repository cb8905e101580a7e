import { storeBlob } from '#pipelines/engine/blobs.ts';
import { encodePng } from '#pipelines/images/images.ts';
import type { PreviewPicture } from '#pipelines/sampling/latent-preview.ts';

/** Larger ones are made smaller by leaving out pixels. */
const SIDE = 64;
/** All sheets of one job together; after that, steps are told of without pictures. */
const MOST_BYTES = 64 * 2 ** 20;

/** Small pictures side by side in one file of the project; null where there is none, or no more room. */
export type DrawSheet = (
  pictures: readonly (PreviewPicture | null)[],
  columns: number,
) => Promise<{ hash: string; side: number } | null>;

export function sheetDrawer(project: string): DrawSheet {
  let bytes = 0;
  return async (pictures, columns) => {
    if (bytes >= MOST_BYTES || !pictures.some((picture) => picture !== null)) return null;
    const longest = Math.max(...pictures.map((p) => (p === null ? 1 : Math.max(p.width, p.height))));
    const every = Math.ceil(longest / SIDE);
    const side = Math.ceil(longest / every);
    const [width, height] = [side * columns, side * Math.ceil(pictures.length / columns)];
    const sheet = new Uint8Array(width * height * 3);
    for (const [k, picture] of pictures.entries()) {
      if (picture === null) continue;
      const [left, top] = [(k % columns) * side, Math.floor(k / columns) * side];
      for (let y = 0; y * every < picture.height; y++) {
        for (let x = 0; x * every < picture.width; x++) {
          const from = (y * every * picture.width + x * every) * 3;
          sheet.set(picture.rgb.subarray(from, from + 3), ((top + y) * width + left + x) * 3);
        }
      }
    }
    const png = await encodePng(sheet, width, height);
    bytes += png.length;
    return { hash: storeBlob(project, png), side };
  };
}
