import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { samplePath, storeBlob } from './blobs.ts';
import type { Output } from './contract.ts';

/**
 * A picture file as one of the project's: itself where it is one, else a PNG of its pixels, without what else the file says.
 * @throws NorthlightError `picture/unreadable`, `picture/too-large`, or of a file that cannot be written.
 */
export async function keepPicture(project: string, bytes: Uint8Array): Promise<Output<'pictures.keep'>> {
  // The image library is loaded when the first picture comes.
  const { decodeImage, encodePng } = await import('#pipelines/images/images.ts');
  const { data, width, height } = await decodeImage(bytes);
  const own = createHash('sha256').update(bytes).digest('hex');
  const isOurs = existsSync(samplePath(project, own));
  const hash = isOurs ? own : storeBlob(project, await encodePng(data, width, height));
  return { hash };
}
