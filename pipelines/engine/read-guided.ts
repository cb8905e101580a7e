import { existsSync, readFileSync } from 'node:fs';
import { NorthlightError } from '#models/errors.ts';
import { fileError } from '#models/files.ts';
import { guidedPath } from './guided-path.ts';
import { type GuidedRecord, guidedRecord } from './sequence-contract.ts';

/**
 * How a guided sample came to be, as its job wrote it; null where nothing was written.
 * @throws {NorthlightError} `generate/guided` for a file that is something else.
 */
export function readGuided(project: string, jobId: string, index: number): GuidedRecord | null {
  const path = guidedPath(project, jobId, index);
  if (!existsSync(path)) return null;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw fileError(error, path, 'read');
  }
  try {
    return guidedRecord.parse(JSON.parse(text));
  } catch (error) {
    const hint = 'The sample itself is unharmed; make it again to see how it comes to be.';
    throw new NorthlightError('generate/guided', `${path} does not hold the steps of a sample.`, hint, {
      cause: error,
    });
  }
}
