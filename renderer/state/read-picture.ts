import type { Output } from '#pipelines/engine/contract.ts';
import { engine } from './engine.ts';
import { bytesOf, carriesBytes, postPicture } from './post-picture.ts';

/**
 * What a picture file says of how it was made; null when it says nothing.
 * @throws EngineError `picture/…`
 */
export async function readPicture(file: Blob, modelId: string | null): Promise<Output<'pictures.settings'>> {
  if (carriesBytes()) return engine.call('pictures.settings', { bytes: await bytesOf(file), modelId });
  const query = modelId === null ? '' : `?modelId=${encodeURIComponent(modelId)}`;
  return postPicture(`/picture${query}`, file);
}
