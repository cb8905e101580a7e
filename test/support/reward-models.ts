import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Dim } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';

export interface TinyScorer {
  /** What it declares to take. */
  readonly dims: readonly Dim[];
  /** Free sizes as they are while it is built. */
  readonly sizes: readonly number[];
  readonly columns?: number;
  readonly manifest?: object;
}

/** A smooth scorer of random weights, `x` to `score [B, columns]`: a mixed projection of all numbers, bent by tanh. Returns the path. */
export function writeTinyScorer(folder: string, { dims, sizes, columns = 1, manifest }: TinyScorer): string {
  mkdirSync(folder, { recursive: true });
  const op = createBuilder();
  const [batch = 1, ...rest] = sizes;
  const x = op.input('x', 'float32', sizes);
  const random = (label: string, shape: readonly number[], scale: number) => {
    const data = new Float32Array(shape.reduce((n, d) => n * d, 1));
    new Rng(5).fork(label).fillNormal(data);
    return op.f32(
      shape,
      data.map((v) => v * scale),
    );
  };
  const size = rest.reduce((n, d) => n * d, 1);
  const bent = op.tanh(op.mul(x, random('scale', [1, ...rest], 1)));
  const flat = op.apply('Flatten', [bent], { axis: 1 });
  const hidden = op.tanh(op.matmul(flat, random('in', [size, 6], 2 / Math.sqrt(size))));
  op.output(op.matmul(hidden, random('out', [6, columns], 1)), 'score');
  const path = join(folder, 'scorer.onnx');
  const free = typeof dims[0] === 'number' ? batch : 'B';
  writeModel(
    op.toModel('scorer', (v) => (v.name === 'x' ? (dims as (number | string)[]) : [free, ...v.dims.slice(1)])),
    path,
  );
  if (manifest) writeFileSync(join(folder, 'reward.json'), JSON.stringify(manifest));
  return path;
}
