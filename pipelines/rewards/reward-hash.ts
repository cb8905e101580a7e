import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sha256File } from '#models/files.ts';

/**
 * SHA-256 of what a reward is: its specification and the contents of the files that it names. A file that moves is the same reward, one
 * that changes is another. @param salt what else it depends on.
 */
export function rewardHash(spec: string, salt = ''): string {
  const hash = createHash('sha256').update(salt);
  for (const part of partsOf(spec)) {
    const file = statSync(part, { throwIfNoEntry: false });
    if (part !== '' && file?.isFile()) hash.update(`file ${contentOf(part)}\n`);
    else hash.update(`text ${JSON.stringify(part)}\n`);
  }
  return hash.digest('hex');
}

/** What may be a path: all that follows the source, or words of it. */
function partsOf(spec: string): string[] {
  const colon = spec.indexOf(':');
  if (colon < 0) return [spec];
  const [source, rest] = [spec.slice(0, colon), spec.slice(colon + 1)];
  if (source === 'onnx' || source === 'module') return [source, rest];
  return [source, ...rest.split(/([\s,="'()]+)/)];
}

/** Of a network also what lies beside it: weights in files of their own, and what is said of it. */
function contentOf(path: string): string {
  if (!path.endsWith('.onnx')) return sha256File(path);
  const beside = readdirSync(dirname(path))
    .filter((name) => name === 'reward.json' || /[._]data$/.test(name))
    .sort()
    .map((name) => join(dirname(path), name))
    .filter((file) => statSync(file).isFile());
  return [path, ...beside].map(sha256File).join('+');
}
