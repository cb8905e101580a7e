import type { IncomingMessage, ServerResponse } from 'node:http';
import { NorthlightError, toPlainError } from '#models/errors.ts';
import { MAX_PICTURE_BYTES } from './contract.ts';
import type { Engine } from './engine.ts';

/**
 * `POST /picture?modelId=…` with a picture file as its body: the procedure `pictures.settings` for a browser, whose line to
 * the engine carries text only. Answers `{ r }`, or `{ e: { code, message, hint } }`.
 */
export async function answerPicture(
  request: IncomingMessage,
  response: ServerResponse,
  engine: Engine,
  modelId: string | null,
): Promise<void> {
  try {
    const bytes = await readBody(request);
    send(response, 200, { r: await engine.call('pictures.settings', { bytes, modelId }) });
  } catch (error) {
    if (!(error instanceof NorthlightError)) console.error(error);
    const tooLarge = error instanceof NorthlightError && error.code === 'picture/too-large';
    // What was not read of the body would be taken for the next request.
    if (tooLarge) response.setHeader('Connection', 'close');
    send(response, tooLarge ? 413 : 422, { e: toPlainError(error) });
  }
}

/** @throws NorthlightError `picture/too-large`, before more than the limit is in memory. */
async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_PICTURE_BYTES) throw tooLarge();
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_PICTURE_BYTES) throw tooLarge();
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function tooLarge(): NorthlightError {
  return new NorthlightError(
    'picture/too-large',
    `The picture is larger than ${MAX_PICTURE_BYTES >> 20} MiB.`,
    'Choose a smaller picture.',
  );
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(JSON.stringify(body));
}
