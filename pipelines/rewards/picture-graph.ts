import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import type { PictureShape, SequenceShape } from './types.ts';

/** Rec. 709, as scores weigh the channels. */
const LUMA = [0.2126, 0.7152, 0.0722];

/**
 * A reward of one picture as a graph: `item [1, C, H, W]` in −1…1 as models make them (C 3, or 1 for grey), to `score []`, higher is better.
 * Values beyond black and white count as black and white, as they do in a picture file; unlike there nothing is rounded.
 * @param score from the picture, `[1, 3, H, W]` in 0…1, to one number.
 */
export function pictureGraph(
  { channels, width, height }: PictureShape,
  score: (op: GraphBuilder, rgb: Value) => Value,
  higherIsBetter: boolean,
): Model {
  const op = createBuilder();
  const item = op.input('item', 'float32', [1, channels, height, width]);
  const unit = op.apply('Clip', [op.mulScalar(op.addScalar(item, 1), 0.5), op.scalar(0), op.scalar(1)]);
  const value = op.reshape(score(op, op.expand(unit, [1, 3, height, width])), []);
  op.output(higherIsBetter ? value : op.neg(value), 'score');
  return op.toModel('reward');
}

/** @throws {NorthlightError} `reward/kind` for a sequence. */
export function pictureOnly(item: PictureShape | SequenceShape, name: string): PictureShape {
  if (item.kind === 'image') return item;
  throw new NorthlightError(
    'reward/kind',
    `The reward "${name}" scores pictures, and the model makes sequences.`,
    'Choose a reward of sequences.',
  );
}

/** `[1, 3, H, W]` to `[1, 1, H, W]`, in the same unit. */
export function lumaGraph(op: GraphBuilder, rgb: Value): Value {
  return op.reduceSum(op.mul(rgb, op.f32([1, 3, 1, 1], LUMA)), [1]);
}

/** Another size by two matrices, one for each side: what cubic resizing of pictures is, without its rounding. */
export function resizedGraph(op: GraphBuilder, x: Value, [height, width]: readonly [number, number]): Value {
  const [, , h, w] = x.dims as [number, number, number, number];
  const rows = h === height ? x : op.matmul(op.f32([height, h], cubicMatrix(h, height)), x);
  return w === width ? rows : op.matmul(rows, op.transpose(op.f32([width, w], cubicMatrix(w, width)), [1, 0]));
}

/** Catmull–Rom interpolation of `from` places at `to`, `[to, from]`; widened where there are fewer, so that all count. Keys 1981. */
export function cubicMatrix(from: number, to: number): Float32Array {
  const matrix = new Float32Array(to * from);
  const step = from / to;
  const reach = Math.max(1, step);
  for (let i = 0; i < to; i++) {
    // Enlarging, the library samples half a new pixel further to the start than it does when making smaller.
    const centre = step < 1 ? i * step - 0.5 : (i + 0.5) * step - 0.5;
    const first = Math.ceil(centre - 2 * reach);
    const last = Math.floor(centre + 2 * reach);
    let total = 0;
    for (let j = first; j <= last; j++) total += catmullRom((j - centre) / reach);
    for (let j = first; j <= last; j++) {
      // Beyond the edge it is as at the edge.
      const place = Math.min(from - 1, Math.max(0, j));
      matrix[i * from + place]! += catmullRom((j - centre) / reach) / total;
    }
  }
  return matrix;
}

function catmullRom(x: number): number {
  const d = Math.abs(x);
  if (d < 1) return 1.5 * d ** 3 - 2.5 * d ** 2 + 1;
  return d < 2 ? -0.5 * d ** 3 + 2.5 * d ** 2 - 4 * d + 2 : 0;
}
