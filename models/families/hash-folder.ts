import { createHash } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileError, sha256File } from '#models/files.ts';

/** Folders whose files decide what a model makes. */
const PARTS = [
  'unet',
  'transformer',
  'denoiser',
  'text_encoder',
  'text_encoder_2',
  'text_encoder_3',
  'tokenizer',
  'tokenizer_2',
  'tokenizer_3',
  'vae_decoder',
  'vae_encoder',
  'scheduler',
  'onnx',
];

const CHUNK_BYTES = 1 << 20;

/** SHA-256 over the sorted list of `(file, SHA-256)` of what decides the model's output. */
export function hashModelFolder(directory: string): string {
  const hash = createHash('sha256');
  for (const file of modelFiles(directory))
    hash.update(`${relative(directory, file).replaceAll('\\', '/')}\n${sha256File(file)}\n`);
  return hash.digest('hex');
}

/**
 * The same hash without holding up whoever asks: files are read in the background, into one buffer of a megabyte.
 * @throws whatever reading the files throws, and an `AbortError` when `signal` is aborted.
 */
export async function hashModelFolderInBackground(directory: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (const file of modelFiles(directory)) {
    const own = createHash('sha256');
    const handle = await open(file).catch((error: unknown) => {
      throw fileError(error, file, 'read');
    });
    try {
      for (;;) {
        signal?.throwIfAborted();
        const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES, null);
        if (bytesRead === 0) break;
        own.update(buffer.subarray(0, bytesRead));
      }
    } finally {
      await handle.close();
    }
    hash.update(`${relative(directory, file).replaceAll('\\', '/')}\n${own.digest('hex')}\n`);
  }
  return hash.digest('hex');
}

/**
 * Names, sizes and dates of all files of a model, hashed: while it stays the same, so does whatever was found out about them.
 * Costs no reading. A folder that is not there has a stamp too.
 */
export function stampModelFolder(directory: string): string {
  const hash = createHash('sha256');
  for (const file of [...modelFiles(directory), join(directory, 'northlight.json')]) {
    const found = statSync(file, { throwIfNoEntry: false });
    hash.update(`${relative(directory, file)}\n${found?.size ?? ''} ${found?.mtimeMs ?? ''}\n`);
  }
  return hash.digest('hex');
}

/** Bytes of all files that decide the model's output; files that are not there count nothing. */
export function sizeOfModel(directory: string): number {
  return modelFiles(directory).reduce((sum, f) => sum + (statSync(f, { throwIfNoEntry: false })?.size ?? 0), 0);
}

/** The files of a model, sorted: its index and everything in the folders of its parts. */
export function modelFiles(directory: string): string[] {
  const inside = PARTS.map((part) => join(directory, part))
    .filter((folder) => existsSync(folder))
    .flatMap(filesIn);
  return [join(directory, 'model_index.json'), ...inside].sort();
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((e) =>
    e.isFile() ? [join(e.parentPath, e.name)] : [],
  );
}
