import type { Output } from '#pipelines/engine/contract.ts';
import { engine } from './engine.ts';
import { bytesOf, carriesBytes, postPicture } from './post-picture.ts';

/**
 * Makes a picture file one of the project's. Returns its hash.
 * @throws EngineError `picture/…`
 */
export async function keepPicture(file: Blob): Promise<string> {
  const kept = carriesBytes()
    ? await engine.call('pictures.keep', { bytes: await bytesOf(file) })
    : await postPicture<Output<'pictures.keep'>>('/picture/keep', file);
  return kept.hash;
}
