import { constants } from 'node:fs';
import { copyFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileError } from '#models/files.ts';
import type { Project } from '#pipelines/store/project.ts';
import type { Sample } from './contract.ts';

/**
 * Copies pictures into a new folder inside `target`, named by number and prompt, with one line of settings each in
 * `samples.jsonl`. The folder gets its name when it is complete. `missing` counts pictures whose file is not there.
 * @throws NorthlightError `file/not-writable`, `file/disk-full`.
 */
export async function exportSamples(
  project: Project,
  samples: readonly Sample[],
  target: string | undefined,
  now = new Date(),
): Promise<{ folder: string; count: number; missing: number }> {
  const parent = target === undefined ? join(project.directory, 'exports') : resolve(project.directory, target);
  const folder = join(parent, `northlight-${now.toISOString().slice(0, 19).replace(/\D/g, '')}-${samples.length}`);
  const making = `${folder}.part`;
  let missing = 0;
  try {
    await mkdir(making, { recursive: true });
    const table = await open(join(making, 'samples.jsonl'), 'w');
    try {
      for (const sample of [...samples].sort((a, b) => a.seq - b.seq)) {
        const file = `${String(sample.seq).padStart(6, '0')}-${slug(sample.prompt)}.png`;
        const copied = await copy(join(project.directory, 'samples', `${sample.hash}.png`), join(making, file));
        if (!copied) missing++;
        await table.write(`${JSON.stringify({ file: copied ? file : null, ...sample })}\n`);
      }
      await table.sync();
    } finally {
      await table.close();
    }
    await rename(making, folder);
  } catch (error) {
    // What cannot be removed either is of no use to anybody; the first error is the one to report.
    await rm(making, { recursive: true, force: true }).catch(() => {});
    throw fileError(error, parent, 'write');
  }
  return { folder, count: samples.length - missing, missing };
}

async function copy(from: string, to: string): Promise<boolean> {
  try {
    // Shares the bytes on disks that can.
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** What a prompt may be called as a file on any system: up to 48 letters and digits, joined by hyphens. */
function slug(prompt: string): string {
  const words =
    prompt
      .normalize('NFC')
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? [];
  return [...words.join('-')].slice(0, 48).join('').replace(/-$/, '') || 'picture';
}
