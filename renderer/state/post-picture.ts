import { EngineError } from '#renderer/transport/wire.ts';

type Answer<T> = { r: T } | { e: { code: string; message: string; hint: string } };

/**
 * Sends a picture file to the server beside the browser's line to the engine, which carries text only.
 * @throws EngineError `picture/…`
 */
export async function postPicture<T>(address: string, file: Blob): Promise<T> {
  const response = await fetch(address, { method: 'POST', body: file });
  const answer = (await response.json()) as Answer<T>;
  if ('e' in answer) throw new EngineError(answer.e.code, answer.e.message, answer.e.hint);
  return answer.r;
}

/** The desktop's line to the engine carries bytes. */
export const carriesBytes = (): boolean => location.protocol === 'app:';

export const bytesOf = async (file: Blob): Promise<Uint8Array> => new Uint8Array(await file.arrayBuffer());
