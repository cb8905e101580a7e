import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { NorthlightError } from '#models/errors.ts';
import { modelFiles } from '#models/families/hash-folder.ts';
import { fileError } from '#models/files.ts';

export interface CopyOptions {
  readonly signal: AbortSignal;
  progress(doneBytes: number, totalBytes: number): void;
}

/**
 * Copies a model folder into `parent`, under its own name or that with a number, and returns where it is. It appears there
 * whole or not at all: a copy that fails or is cancelled leaves nothing behind.
 * @throws NorthlightError `models/copy-cancelled`, `file/…`
 */
export async function copyModelFolder(source: string, parent: string, options: CopyOptions): Promise<string> {
  const files = [...modelFiles(source), join(source, 'northlight.json'), join(source, 'README.md')]
    .filter((file) => existsSync(file))
    .map((file) => ({ file, size: statSync(file).size }));
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const making = join(parent, `.${basename(source)}.${randomBytes(6).toString('hex')}.tmp`);
  let done = 0;
  const counter = () =>
    new Transform({
      transform(chunk: Uint8Array, _encoding, next) {
        done += chunk.length;
        options.progress(done, total);
        next(null, chunk);
      },
    });
  try {
    options.progress(0, total);
    mkdirSync(making, { recursive: true });
    for (const { file } of files) {
      const target = join(making, relative(source, file));
      mkdirSync(dirname(target), { recursive: true });
      // A chunk of 4 MiB at a time; `flush` waits until it is on the disk.
      await pipeline(
        createReadStream(file, { highWaterMark: 1 << 22 }),
        counter(),
        createWriteStream(target, { flush: true }),
        { signal: options.signal },
      );
    }
    const target = freeName(join(parent, basename(source)));
    renameSync(making, target);
    return target;
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    if (options.signal.aborted) {
      throw new NorthlightError(
        'models/copy-cancelled',
        'Copying was cancelled; nothing was kept.',
        'The model can be used where it is.',
      );
    }
    throw fileError(error, making, 'write');
  }
}

function freeName(wanted: string): string {
  for (let n = 1; ; n++) {
    const name = n === 1 ? wanted : `${wanted}-${n}`;
    if (!existsSync(name)) return name;
  }
}
