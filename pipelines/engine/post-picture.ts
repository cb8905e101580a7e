import type { IncomingMessage, ServerResponse } from 'node:http';
import { NorthlightError, toPlainError } from '#models/errors.ts';
import { MAX_PICTURE_BYTES } from './contract.ts';
import type { Engine } from './engine.ts';

/**
 * `POST /picture?modelId=…` and `POST /picture/keep` with a picture file as their body: the procedures `pictures.settings` and
 * `pictures.keep` for a browser, whose line to the engine carries text only. Answers `{ r }`, or `{ e: { code, message, hint } }`.
 */
export async function answerPicture(
  request: IncomingMessage,
  response: ServerResponse,
  engine: Engine,
  { pathname, searchParams }: URL,
): Promise<void> {
  try {
    const bytes = await readBody(request);
    const found =
      pathname === '/picture/keep'
        ? await engine.call('pictures.keep', { bytes })
        : await engine.call('pictures.settings', { bytes, modelId: searchParams.get('modelId') });
    send(response, 200, { r: found });
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
