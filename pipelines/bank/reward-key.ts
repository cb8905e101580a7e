import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sha256File } from '#models/files.ts';
import { programVersion } from '#models/version.ts';

/**
 * SHA-256 of what a reward is: its specification without its weight, the contents of the files that it names, and this version of
 * the program, which may measure differently from others. A file that moves keeps its scores, one that changes loses them.
 */
export function rewardKey(spec: string): string {
  const hash = createHash('sha256').update(`${programVersion()}\n`);
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
