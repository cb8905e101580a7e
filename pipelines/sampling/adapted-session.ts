import { dirname } from 'node:path';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session, type SessionOptions } from '#models/runtime/session.ts';
import { type AdapterFile, openAdapters } from './adapters.ts';

/**
 * A network with adapters inserted; by path where there are none, so that its weights stay out of this process's own memory.
 * @throws {NorthlightError} `session/…`, `lora/…`.
 */
export async function openAdapted(
  path: string,
  adapters: readonly AdapterFile[],
  options: SessionOptions,
): Promise<Session> {
  if (adapters.length === 0) return await createSession(path, options);
  const adapted = openAdapters(adapters, ['denoiser']).apply(readModel(path), 'denoiser');
  return await createSession(encodeModel(adapted), { ...options, folder: dirname(path) });
}
