import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '#models/files.ts';

/** Where a project has the picture of this SHA-256. */
export const samplePath = (project: string, hash: string) => join(project, 'samples', `${hash}.png`);

/** Writes a picture into the project under its SHA-256, and returns that; an equal one is already there. */
export function storeBlob(project: string, png: Buffer): string {
  const hash = createHash('sha256').update(png).digest('hex');
  if (!existsSync(samplePath(project, hash))) writeFileAtomic(samplePath(project, hash), png);
  return hash;
}
