import type { Output } from '#pipelines/engine/contract.ts';
import { EngineError } from '#renderer/transport/wire.ts';
import { engine } from './engine.ts';

type Answer = { r: Output<'pictures.settings'> } | { e: { code: string; message: string; hint: string } };

/**
 * What a picture file says of how it was made; null when it says nothing. The desktop's line to the engine carries bytes;
 * a browser's carries text only, so the file goes to the server beside it.
 * @throws EngineError `picture/…`
 */
export async function readPicture(file: Blob, modelId: string | null): Promise<Output<'pictures.settings'>> {
  if (location.protocol === 'app:') {
    return engine.call('pictures.settings', { bytes: new Uint8Array(await file.arrayBuffer()), modelId });
  }
  const query = modelId === null ? '' : `?modelId=${encodeURIComponent(modelId)}`;
  const response = await fetch(`/picture${query}`, { method: 'POST', body: file });
  const answer = (await response.json()) as Answer;
  if ('e' in answer) throw new EngineError(answer.e.code, answer.e.message, answer.e.hint);
  return answer.r;
}
