import { dirname } from 'node:path';
import type { Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session, type SessionOptions } from '#models/runtime/session.ts';
import { type AdapterFile, openAdapters } from './adapters.ts';

/** A network with adapters inserted. @throws {NorthlightError} `lora/…`, `onnx/…` */
export function readAdapted(path: string, adapters: readonly AdapterFile[]): Model {
  return openAdapters(adapters, ['denoiser']).apply(readModel(path), 'denoiser');
}

/**
 * A session of {@link readAdapted}; by path where there are no adapters, so that its weights stay out of this process's own memory.
 * @throws {NorthlightError} `session/…`, `lora/…`.
 */
export async function openAdapted(
  path: string,
  adapters: readonly AdapterFile[],
  options: SessionOptions,
): Promise<Session> {
  if (adapters.length === 0) return await createSession(path, options);
  return await createSession(encodeModel(readAdapted(path, adapters)), { ...options, folder: dirname(path) });
}
