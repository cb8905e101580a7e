import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';

/** Receives the next bytes of a file. */
export type Write = (bytes: Uint8Array) => void;

/** A complete, synced file under a temporary name. Exactly one of the two must be called. */
export interface StagedFile {
  /** Gives the file its final name, replacing what was there. */
  commit(): void;
  discard(): void;
}

const CHUNK_BYTES = 1 << 24;
const HASH_BYTES = 1 << 20;

/**
 * Writes `data` so that a reader sees either the old file or the whole new one, also after a power cut: a temporary file
 * beside it, fsync, rename, fsync of the folder. A failed write leaves nothing behind.
 * @throws NorthlightError `file/disk-full`, `file/not-writable`, `file/no-folder`, `file/is-folder`, `file/too-large`, `file/io`.
 */
export function writeFileAtomic(path: string, data: Uint8Array | string): void {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
  stageFile(path, (write) => write(bytes)).commit();
}

/** {@link writeFileAtomic} of a value as JSON that a person can read. */
export function writeJsonAtomic(path: string, value: unknown): void {
  writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** As `writeFileAtomic`, in pieces: `fill` hands over the bytes in order. An error from `fill` also leaves nothing behind. */
export function replaceFile(path: string, fill: (write: Write) => void): void {
  stageFile(path, fill).commit();
}

/** The first half of `writeFileAtomic`. Several files can be staged before the first one is renamed. */
export function stageFile(path: string, fill: (write: Write) => void): StagedFile {
  const target = resolveTarget(path);
  const temporary = join(dirname(target.path), `.${basename(target.path)}.${randomBytes(6).toString('hex')}.tmp`);
  const discard = () => rmSync(temporary, { force: true });
  let fd: number;
  try {
    fd = openSync(temporary, 'wx');
  } catch (error) {
    throw fileError(error, path, 'write');
  }
  try {
    try {
      if (target.mode !== undefined) fchmodSync(fd, target.mode);
      fill((bytes) => writeFully(fd, bytes, path));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    discard();
    throw fileError(error, path, 'write');
  }
  const commit = () => {
    try {
      renamePatiently(temporary, target.path);
    } catch (error) {
      discard();
      throw fileError(error, path, 'write');
    }
    syncFolder(dirname(target.path));
  };
  return { commit, discard };
}

/** Writes all of `bytes` at the current position of `fd`; `path` only names the file in errors. */
export function writeFully(fd: number, bytes: Uint8Array, path: string): void {
  try {
    let done = 0;
    while (done < bytes.length) done += writeSync(fd, bytes, done, Math.min(CHUNK_BYTES, bytes.length - done));
  } catch (error) {
    throw fileError(error, path, 'write');
  }
}

/** Reads up to `length` bytes at `offset`; shorter only when the file ends before. */
export function readAt(fd: number, offset: number, length: number, path: string): Uint8Array {
  const out = new Uint8Array(length);
  try {
    let done = 0;
    while (done < length) {
      const n = readSync(fd, out, done, Math.min(CHUNK_BYTES, length - done), offset + done);
      if (n === 0) break;
      done += n;
    }
    return done === length ? out : out.subarray(0, done);
  } catch (error) {
    throw fileError(error, path, 'read');
  }
}

/**
 * Opens a regular file, hands its descriptor and size to `use`, and closes it again.
 * @throws NorthlightError `file/missing`, `file/not-readable`, `file/is-folder`, `file/io`.
 */
export function withFile<T>(path: string, use: (fd: number, sizeBytes: number) => T): T {
  let fd: number;
  try {
    // Checked before opening: opening a pipe would wait for a writer.
    const found = statSync(path);
    if (found.isDirectory()) throw Object.assign(new Error('is a folder'), { code: 'EISDIR' });
    if (!found.isFile()) throw new NorthlightError('file/not-regular', `${path} is not a regular file.`);
    fd = openSync(path, 'r');
  } catch (error) {
    throw fileError(error, path, 'read');
  }
  try {
    return use(fd, fstatSync(fd).size);
  } finally {
    closeSync(fd);
  }
}

/** SHA-256 of a file's bytes as 64 lower-case hex digits, through one buffer of a megabyte. */
export function sha256File(path: string): string {
  return withFile(path, (fd) => {
    const hash = createHash('sha256');
    const buffer = new Uint8Array(HASH_BYTES);
    try {
      for (let n = readSync(fd, buffer); n > 0; n = readSync(fd, buffer)) hash.update(buffer.subarray(0, n));
    } catch (error) {
      throw fileError(error, path, 'read');
    }
    return hash.digest('hex');
  });
}

/** A file system error in words a person can act on. Errors that already have a name pass through. */
export function fileError(error: unknown, path: string, doing: 'read' | 'write'): unknown {
  if (!(error instanceof Error) || error instanceof NorthlightError) return error;
  const make = (code: string, message: string, hint: string) =>
    new NorthlightError(code, message, hint, { cause: error });
  switch ((error as NodeJS.ErrnoException).code) {
    case undefined:
      return error;
    case 'ENOSPC':
    case 'EDQUOT':
      return make(
        'file/disk-full',
        `There is no room left to write ${path}; the file was left as it was.`,
        'Free some space or choose another disk, then try again.',
      );
    case 'EFBIG':
      return make(
        'file/too-large',
        `${path} is larger than its disk allows.`,
        'Choose a disk with another file system.',
      );
    case 'EISDIR':
      return make('file/is-folder', `${path} is a folder, not a file.`, 'Name a file.');
    case 'ENAMETOOLONG':
      return make('file/name-too-long', `The name ${path} is too long for this disk.`, 'Choose a shorter name.');
    case 'ENOENT':
    case 'ENOTDIR':
      if (doing === 'read') return make('file/missing', `${path} does not exist.`, 'Check the path.');
      if (!isFolder(dirname(path))) {
        return make(
          'file/no-folder',
          `The folder of ${path} does not exist.`,
          'Create the folder or choose another one.',
        );
      }
      break;
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'EBUSY':
      break;
    default:
      return make(
        'file/io',
        `${doing === 'read' ? 'Reading' : 'Writing'} ${path} failed: ${error.message}`,
        'Check the disk.',
      );
  }
  return doing === 'read'
    ? make(
        'file/not-readable',
        `${path} may not be read.`,
        'Check its permissions, or close the program that holds it.',
      )
    : make(
        'file/not-writable',
        `${path} cannot be written there.`,
        'Choose a folder you may write to, or close the program that holds the file.',
      );
}

function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}

/** Follows a link to the file it names, keeps the mode of a file that is replaced, and refuses devices and folders. */
function resolveTarget(path: string): { path: string; mode?: number } {
  try {
    const target = realpathSync(path);
    const found = statSync(target);
    if (found.isDirectory()) throw Object.assign(new Error('is a folder'), { code: 'EISDIR' });
    if (!found.isFile()) {
      throw new NorthlightError('file/not-regular', `${path} is a device, not a regular file.`, 'Choose another name.');
    }
    return { path: target, mode: found.mode & 0o777 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { path };
    throw fileError(error, path, 'write');
  }
}

/** Windows refuses to rename onto a file that a virus scanner or indexer holds for a moment: try for up to half a second. */
function renamePatiently(from: string, to: string): void {
  for (let attempt = 0; ; attempt++) {
    try {
      renameSync(from, to);
      return;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (process.platform !== 'win32' || attempt >= 10 || !['EPERM', 'EACCES', 'EBUSY'].includes(code)) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
  }
}

/** Makes the rename itself durable. Windows cannot open a folder and some network disks refuse: the file is whole anyway. */
function syncFolder(folder: string): void {
  try {
    const fd = openSync(folder, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // Not every file system can do it.
  }
}
