import { Layers } from '#models/families/layers.ts';
import type { Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { columnsOf, LAYOUT } from './layout.ts';

export interface JudgeConfig {
  readonly size: number;
  /** Channels of the three grids: size/2, size/4, size/8. */
  readonly channels: readonly [number, number, number];
  /** Channels of each position of the last grid that the head sees. */
  readonly reduced: number;
  readonly hidden: number;
}

export const JUDGE: JudgeConfig = { size: 64, channels: [24, 48, 80], reduced: 12, hidden: 96 };

/**
 * The classifier: `image` `[B, 3, S, S]` in 0…1 → `logits` `[B, K]`, laid out as {@link LAYOUT}. The head sees every position
 * of the last grid apart, not their mean: leaves and petals are counted by where they are.
 */
export function buildJudge(config: JudgeConfig, seed: number): Model {
  const op = createBuilder();
  const l = new Layers(op, new Rng(seed).fork('flora-judge'));
  const [c0, c1, c2] = config.channels;
  const block = (name: string, x: Value, out: number, stride: number): Value =>
    l.scope(name, () => l.silu(l.groupNorm('norm', l.conv('conv', x, out, 3, { stride }), 8)));

  const image = op.input('image', 'float32', [1, 3, config.size, config.size]);
  let x = op.addScalar(op.mulScalar(image, 4), -2);
  x = block('0', op.apply('SpaceToDepth', [x], { blocksize: 2 }), c0, 1);
  x = block('1', x, c1, 2);
  x = block('2', x, c2, 2);
  x = block('3', x, c2, 1);
  x = l.silu(l.conv('reduce', x, config.reduced, 1));
  const positions = (config.size / 8) ** 2;
  x = l.silu(l.linear('hidden', l.batchReshape(x, [config.reduced * positions]), config.hidden));
  op.output(l.linear('heads', x, columnsOf(LAYOUT), { zero: true }), 'logits');
  return op.toModel('flora-judge', (v) => ['batch', ...v.dims.slice(1)]);
}
