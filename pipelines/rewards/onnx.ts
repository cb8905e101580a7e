import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { createSession, type Port, type Session, type SessionOptions } from '#models/runtime/session.ts';
import { fromNumbers, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { resizeRgb } from '#pipelines/images/images.ts';
import { lumaOf } from './luma.ts';
import { type RewardManifest, readRewardManifest } from './manifest.ts';
import { type PicturePlan, type Scorer, scorerOfPicture, scorerOfSequence } from './onnx-graph.ts';
import { sequenceBatches, sequencePlan, takesSequences } from './onnx-sequence.ts';
import { parseOnnxSpec, scoreAt } from './onnx-spec.ts';
import { pictureOnly } from './picture-graph.ts';
import type { ImageItem, Reward, RewardItem } from './types.ts';

const LARGEST_BATCH = 16;

interface InputPlan extends PicturePlan {
  readonly dtype: 'float32' | 'float16';
}

/**
 * An ONNX file as a reward of pictures: one float input `[B, C, H, W]` in 0…1 and one output `[B]` or `[B, 1]`, unless `reward.json`
 * beside it says otherwise. Pictures are resized to a declared size and passed as they are where it is free; one channel is luma.
 * With a one-hot input `[B, L, A]` or token ids `[B, L]` it is a reward of sequences.
 * @param spec `PATH[,output=NAME][,column=NAME]`.
 * @throws {NorthlightError} `reward/option`, `reward/missing`, `reward/manifest`, `reward/input`, `reward/output`, and `session/…`; scoring throws
 *   `reward/kind`, `reward/output` and `reward/not-finite`.
 */
export async function createOnnxReward(spec: string, options: SessionOptions = {}): Promise<Reward> {
  const asked = parseOnnxSpec(spec);
  const { path } = asked;
  if (!existsSync(path)) {
    throw new NorthlightError(
      'reward/missing',
      `The reward model ${path} does not exist.`,
      'Check the path after "onnx:"; behind it may stand ",output=NAME" and ",column=NAME".',
    );
  }
  const manifest = readRewardManifest(path);
  const session = await createSession(path, options);
  try {
    const [input] = session.inputs;
    const sequences = session.inputs.length === 1 && takesSequences(input!);
    const at = scoreAt(asked, session.outputs, manifest);
    const { output, column } = at;
    const scorer = { manifest, path, ...at };
    const { feedsOf, graph } = sequences ? ofSequences(input!, scorer) : ofPictures(session, scorer);
    return {
      name: [manifest.name ?? basename(path, '.onnx'), asked.output, asked.column].filter(Boolean).join(' '),
      higherIsBetter: manifest.higherIsBetter,
      kinds: [sequences ? 'sequence' : 'image'],
      async score(items) {
        const scores = new Float32Array(items.length);
        for (const { indices, feed } of await feedsOf(items)) {
          const result = (await session.run({ [input!.name]: feed }, [output]))[output]!;
          const values = columnOf(result, feed.dims[0]!, column, path);
          for (const [i, index] of indices.entries()) scores[index] = finite(values[i]!, index, path);
        }
        return scores;
      },
      graph,
      close: () => session.release(),
    };
  } catch (error) {
    await session.release();
    throw error;
  }
}

interface Way {
  /** Items as the graph takes them, some at a time. */
  feedsOf(items: readonly RewardItem[]): Promise<Iterable<{ indices: readonly number[]; feed: Tensor }>>;
  readonly graph: NonNullable<Reward['graph']>;
}

function ofPictures(session: Session, scorer: Scorer): Way {
  const { manifest, path } = scorer;
  const plan = inputPlan(session.inputs, manifest, path);
  return {
    graph: (item) => scorerOfPicture(scorer, plan, pictureOnly(item, path)),
    async feedsOf(items) {
      const pictures = await Promise.all(items.map((item, i) => prepare(item, i, plan, manifest)));
      return batches(pictures, plan.batch).map(([from, count]) => ({
        indices: Array.from({ length: count }, (_, i) => from + i),
        feed: stack(pictures.slice(from, from + count), plan, manifest),
      }));
    },
  };
}

function ofSequences(input: Port, scorer: Scorer): Way {
  const { manifest, path } = scorer;
  const plan = sequencePlan(input, manifest, path);
  return {
    graph(item) {
      if (item.kind === 'sequence') return scorerOfSequence(scorer, plan, item);
      throw new NorthlightError(
        'reward/kind',
        `The reward model ${path} scores sequences, and the model makes pictures.`,
        'Choose a reward of pictures.',
      );
    },
    feedsOf: async (items) => sequenceBatches(items, plan, path),
  };
}

function inputPlan(inputs: readonly Port[], manifest: RewardManifest, path: string): InputPlan {
  const refuse = (what: string) =>
    new NorthlightError(
      'reward/input',
      `The reward model ${path} ${what}.`,
      'A reward of pictures has one float input [batch, channels, height, width]; export it so, or say the layout in reward.json.',
    );
  const [port, ...more] = inputs;
  if (port === undefined || more.length > 0)
    throw refuse(`has ${inputs.length} inputs (${inputs.map((i) => i.name).join(', ')})`);
  if (manifest.input !== undefined && manifest.input !== port.name) {
    throw refuse(`has no input "${manifest.input}", which reward.json names; its input is "${port.name}"`);
  }
  if (port.dtype !== 'float32' && port.dtype !== 'float16')
    throw refuse(`takes ${port.dtype} numbers at "${port.name}"`);
  if (port.dims.length !== 4)
    throw refuse(`takes a tensor of rank ${port.dims.length} at "${port.name}", [${port.dims.join(', ')}]`);
  // A free size is a name, or in some exports a negative number.
  const sizes = port.dims.map((d) => (typeof d === 'number' && d > 0 ? d : null));
  const [batch, ...rest] = sizes as [number | null, number | null, number | null, number | null];
  const [channels, height, width] = manifest.layout === 'NCHW' ? rest : [rest[2]!, rest[0]!, rest[1]!];
  const known = channels ?? 3;
  if (known !== 1 && known !== 3)
    throw refuse(`wants ${known} channels (as ${manifest.layout}); a picture has 3, or 1 as grey`);
  const size = declaredSize(height, width, manifest, refuse);
  return { name: port.name, dtype: port.dtype, batch, channels: known, size };
}

function declaredSize(
  height: number | null,
  width: number | null,
  manifest: RewardManifest,
  refuse: (what: string) => NorthlightError,
): readonly [number, number] | null {
  const { size } = manifest;
  if (size !== undefined) {
    if ((height ?? size[0]) !== size[0] || (width ?? size[1]) !== size[1]) {
      throw refuse(`declares pictures of ${height} × ${width}, but reward.json says ${size[0]} × ${size[1]}`);
    }
    return size;
  }
  if ((height === null) !== (width === null)) throw refuse('fixes only one of height and width');
  return height === null ? null : [height, width!];
}

interface Prepared {
  readonly values: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** One picture as the network wants it, `[C, H, W]` or `[H, W, C]`. */
async function prepare(item: RewardItem, index: number, plan: InputPlan, manifest: RewardManifest): Promise<Prepared> {
  if (item.kind !== 'image') {
    throw new NorthlightError(
      'reward/kind',
      `Item ${index} is a sequence, and this reward scores pictures.`,
      'Choose a reward of sequences.',
    );
  }
  const { rgb, width, height } = await resized(item, plan.size);
  const source: ArrayLike<number> = plan.channels === 1 ? lumaOf(rgb) : rgb;
  const plane = width * height;
  const values = new Float32Array(plane * plan.channels);
  const [low, high] = manifest.range;
  for (let c = 0; c < plan.channels; c++) {
    const mean = manifest.mean[c] ?? manifest.mean[0]!;
    const std = manifest.std[c] ?? manifest.std[0]!;
    for (let i = 0; i < plane; i++) {
      const at = manifest.layout === 'NCHW' ? c * plane + i : i * plan.channels + c;
      values[at] = (low + (source[i * plan.channels + c]! / 255) * (high - low) - mean) / std;
    }
  }
  return { values, width, height };
}

async function resized(item: ImageItem, size: InputPlan['size']): Promise<Pick<ImageItem, 'rgb' | 'width' | 'height'>> {
  if (size === null || (size[0] === item.height && size[1] === item.width)) return item;
  const [height, width] = size;
  return { rgb: await resizeRgb(item.rgb, item.width, item.height, width, height, 'cubic'), width, height };
}

/** Runs of consecutive pictures of one size, none longer than a batch: [from, count]. */
function batches(pictures: readonly Prepared[], batch: number | null): [number, number][] {
  const runs: [number, number][] = [];
  for (const [i, { width, height }] of pictures.entries()) {
    const run = runs.at(-1);
    const before = pictures[i - 1];
    if (run && run[1] < (batch ?? LARGEST_BATCH) && before?.width === width && before.height === height) run[1]++;
    else runs.push([i, 1]);
  }
  return runs;
}

/** A batch; a fixed batch size is filled up with copies of the last picture, whose scores are dropped. */
function stack(pictures: readonly Prepared[], plan: InputPlan, manifest: RewardManifest): Tensor {
  const { width, height, values } = pictures[0]!;
  const count = plan.batch ?? pictures.length;
  const data = new Float32Array(count * values.length);
  for (let i = 0; i < count; i++) data.set(pictures[Math.min(i, pictures.length - 1)]!.values, i * values.length);
  const dims =
    manifest.layout === 'NCHW' ? [count, plan.channels, height, width] : [count, height, width, plan.channels];
  return plan.dtype === 'float32' ? { dtype: 'float32', dims, data } : fromNumbers('float16', dims, Array.from(data));
}

function columnOf(result: Tensor, batch: number, index: number | undefined, path: string): number[] {
  const { dims } = result;
  const columns = dims.length === 2 ? dims[1]! : 1;
  const column = index ?? 0;
  if (
    dims.length < 1 ||
    dims.length > 2 ||
    dims[0] !== batch ||
    column >= columns ||
    (index === undefined && columns > 1)
  ) {
    throw new NorthlightError(
      'reward/output',
      `The reward model ${path} gave [${dims.join(', ')}] for ${batch} items${index === undefined ? '' : `, and column ${index} was asked for`}.`,
      'It must give [batch] or [batch, 1]; of several columns, say which is the score: onnx:PATH,column=NUMBER, or "outputIndex" in reward.json.',
    );
  }
  const all = toNumbers(result);
  return Array.from({ length: batch }, (_, i) => all[i * columns + column]!);
}

function finite(score: number, index: number, path: string): number {
  if (Number.isFinite(score)) return score;
  throw new NorthlightError(
    'reward/not-finite',
    `The reward model ${path} gave ${score} for item ${index}.`,
    'Check "range", "mean" and "std" in reward.json, and the model on that item.',
  );
}
