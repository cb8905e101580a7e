import { mkdirSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '#models/files.ts';
import { encodeThumbnail } from './images.ts';

/** Longest side, in pixels. */
const SIZE = 256;
/** Made at the same time; the rest of the machine belongs to models. */
const AT_ONCE = 2;

/** Small versions of pictures by content address, made when first asked for and kept on disk. */
export interface Thumbnails {
  /**
   * Path of the thumbnail (WebP, at most 256 × 256); null when the picture is missing or unreadable, and when `isWanted`
   * says no by the time it is its turn.
   */
  get(hash: string, isWanted?: () => boolean): Promise<string | null>;
}

/** `pictures` holds `<sha256>.png`; thumbnails go to `<folder>/<sha256>.webp`, which may be deleted at any time. */
export function createThumbnails(pictures: string, folder: string): Thumbnails {
  const making = new Map<string, Promise<string | null>>();
  const waiting: (() => void)[] = [];
  let busy = 0;

  const turn = async (): Promise<void> => {
    if (busy >= AT_ONCE) await new Promise<void>((go) => waiting.push(go));
    busy++;
  };
  const done = (): void => {
    busy--;
    // The newest first: who scrolls on looks at what was asked for last.
    waiting.pop()?.();
  };

  const make = async (hash: string, path: string, isWanted: () => boolean): Promise<string | null> => {
    await turn();
    try {
      if (!isWanted()) return null;
      const webp = await encodeThumbnail(join(pictures, `${hash}.png`), SIZE);
      mkdirSync(folder, { recursive: true });
      writeFileAtomic(path, webp);
      return path;
    } catch (error) {
      // Missing or damaged: the window says so in its place. A full disk is worth a line in the log.
      if (await exists(join(pictures, `${hash}.png`))) console.error(error);
      return null;
    } finally {
      done();
    }
  };

  return {
    async get(hash, isWanted = () => true) {
      const path = join(folder, `${hash}.webp`);
      if (await exists(path)) return path;
      const found = making.get(hash);
      if (found) {
        const made = await found;
        // Whoever asked first may have gone away.
        if (made !== null || !isWanted()) return made;
      }
      const made = make(hash, path, isWanted).finally(() => making.delete(hash));
      making.set(hash, made);
      return made;
    },
  };
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
