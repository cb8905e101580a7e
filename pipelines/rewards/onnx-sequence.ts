import { NorthlightError } from '#models/errors.ts';
import type { Port } from '#models/runtime/session.ts';
import { fromNumbers, type Tensor } from '#models/tensor/tensor.ts';
import type { RewardManifest } from './manifest.ts';
import type { RewardItem } from './types.ts';

const LARGEST_BATCH = 16;

/** How a graph wants its sequences: null is a free size. */
export interface SequencePlan {
  readonly name: string;
  readonly dtype: 'float32' | 'float16' | 'int64' | 'int32';
  readonly batch: number | null;
  readonly length: number | null;
  /** Letter of each channel or token id. */
  readonly alphabet: string;
  /** Order of the axes after the batch; `L` alone are token ids. */
  readonly layout: 'LA' | 'AL' | 'L';
}

/** Whether a graph's only input is of sequences: one-hot `[B, L, A]` or `[B, A, L]`, or token ids `[B, L]`. */
export function takesSequences(port: Port): boolean {
  const ids = port.dtype === 'int64' || port.dtype === 'int32';
  return ids ? port.dims.length === 2 : port.dtype.startsWith('float') && port.dims.length === 3;
}

/** @throws {NorthlightError} `reward/input` when the alphabet does not fit the graph. */
export function sequencePlan(port: Port, manifest: RewardManifest, path: string): SequencePlan {
  const { alphabet } = manifest;
  const sizes = port.dims.map((d) => (typeof d === 'number' && d > 0 ? d : null));
  const [batch = null, first = null, second = null] = sizes;
  const { name, dtype } = port;
  if (dtype === 'int64' || dtype === 'int32') return { name, dtype, batch, length: first, alphabet, layout: 'L' };
  const fits = (size: number | null) => size === null || size === alphabet.length;
  const layout = fits(second) && (second !== null || first !== alphabet.length) ? 'LA' : 'AL';
  if ((dtype !== 'float32' && dtype !== 'float16') || (layout === 'AL' && !fits(first))) {
    throw new NorthlightError(
      'reward/input',
      `The reward model ${path} takes ${dtype} [${port.dims.join(', ')}] at "${name}", in which nothing has the ${alphabet.length} letters of ${alphabet}.`,
      'A reward of sequences takes one-hot [batch, length, letters], or token ids [batch, length]; give "alphabet" in reward.json.',
    );
  }
  return { name, dtype, batch, length: layout === 'LA' ? first : second, alphabet, layout };
}

/**
 * Groups of sequences of one length as the graph takes them; a fixed batch is filled up with copies of the last.
 * @throws {NorthlightError} `reward/kind`, `reward/letter`, `reward/length`.
 */
export function sequenceBatches(
  items: readonly RewardItem[],
  plan: SequencePlan,
  path: string,
): { readonly indices: readonly number[]; readonly feed: Tensor }[] {
  const coded = items.map((item, i) => encode(item, i, plan, path));
  const groups = Map.groupBy(coded.keys(), (i) => coded[i]!.length);
  const size = plan.batch ?? LARGEST_BATCH;
  return [...groups.values()].flatMap((group) =>
    Array.from({ length: Math.ceil(group.length / size) }, (_, n) => {
      const indices = group.slice(n * size, (n + 1) * size);
      const rows = Array.from(
        { length: plan.batch ?? indices.length },
        (__, k) => coded[indices[k] ?? indices.at(-1)!]!,
      );
      return { indices, feed: stack(rows, plan) };
    }),
  );
}

/** Letter numbers; U and T are read as whichever the alphabet has. */
function encode(item: RewardItem, index: number, plan: SequencePlan, path: string): number[] {
  if (item.kind !== 'sequence') {
    throw new NorthlightError(
      'reward/kind',
      `Item ${index} is a picture, and the reward model ${path} scores sequences.`,
      'Choose a reward of pictures.',
    );
  }
  const letters = [...item.sequence.toUpperCase()];
  if (plan.length !== null && letters.length !== plan.length) {
    throw new NorthlightError(
      'reward/length',
      `Item ${index} has ${letters.length} letters, and the reward model ${path} takes ${plan.length}.`,
      'Score sequences of that length only.',
    );
  }
  const other: Readonly<Record<string, string>> = { U: 'T', T: 'U' };
  return letters.map((letter, at) => {
    const id = plan.alphabet.indexOf(letter);
    const found = id >= 0 ? id : plan.alphabet.indexOf(other[letter] ?? letter);
    if (found >= 0) return found;
    throw new NorthlightError(
      'reward/letter',
      `Item ${index} has "${letter}" at position ${at + 1}, which the reward model ${path} does not know.`,
      `Its alphabet is ${plan.alphabet}; another one can be given as "alphabet" in reward.json.`,
    );
  });
}

function stack(rows: readonly number[][], { dtype, alphabet, layout }: SequencePlan): Tensor {
  const length = rows[0]!.length;
  if (layout === 'L') return fromNumbers(dtype, [rows.length, length], rows.flat());
  const size = alphabet.length;
  const values = new Array<number>(rows.length * length * size).fill(0);
  for (const [row, ids] of rows.entries()) {
    for (const [i, id] of ids.entries()) {
      values[row * length * size + (layout === 'LA' ? i * size + id : id * length + i)] = 1;
    }
  }
  return fromNumbers(dtype, layout === 'LA' ? [rows.length, length, size] : [rows.length, size, length], values);
}
