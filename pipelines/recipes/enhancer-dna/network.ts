import { Layers } from '#models/families/layers.ts';
import type { Value } from '#models/onnx/builder.ts';
import type { Model } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { BASES } from '#pipelines/sequences/nucleotides.ts';
import { convolve } from './convolution.ts';
import { ENHANCER_LENGTH } from './enhancers.ts';
import { CELLS } from './motifs.ts';

/** Token id of the mask: the one after the letters. */
export const MASK_ID = BASES.length;
/** Class that stands for "any cell line". */
export const NULL_CLASS = CELLS.length;

const GROUPS = 8;

export interface DenoiserConfig {
  readonly length: number;
  /** Channels, a multiple of {@link GROUPS}. */
  readonly width: number;
  /** Letters that one convolution sees, odd. */
  readonly kernel: number;
  /** Dilation of each residual block. */
  readonly dilations: readonly number[];
  /** Width of what is known of time and cell line. */
  readonly embedding: number;
}

/** Sees 112 letters to either side: any pair of sites of a rule, from anywhere between them. */
export const DENOISER: DenoiserConfig = {
  length: ENHANCER_LENGTH,
  width: 48,
  kernel: 9,
  dilations: [1, 1, 4, 16, 4, 1],
  embedding: 96,
};

/**
 * The denoiser: `input_ids` int64 `[B, L]` with {@link MASK_ID} where nothing is known, `timestep` `[B]` in (0, 1], `class_labels`
 * int64 `[B]` → `logits` `[B, L, 4]`. Residual blocks of a dilated convolution, as in the network of DRAKES (Wang et al. 2025,
 * arXiv:2410.13643, appendix), smaller, and modulated by time and cell line (FiLM, Perez et al. 2018, arXiv:1709.07871).
 */
export function buildDenoiser(config: DenoiserConfig, seed: number): Model {
  const op = createBuilder();
  const l = new Layers(op, new Rng(seed).fork('enhancer-denoiser'));
  const { length, width, embedding } = config;
  const ids = op.input('input_ids', 'int64', [1, length]);
  const timestep = op.input('timestep', 'float32', [1]);
  const classes = op.input('class_labels', 'int64', [1]);

  const time = l.scope('time', () =>
    // The sinusoids are made for timesteps up to a thousand.
    l.linear(
      'fc2',
      l.silu(l.linear('fc1', l.timestepEmbedding(op.mulScalar(timestep, 1000), 64), embedding)),
      embedding,
    ),
  );
  const cell = op.gather(l.weight('cell_embedding.weight', [NULL_CLASS + 1, embedding], 0.5), classes, 0);
  const known = l.silu(op.add2(time, cell));

  const block = (name: string, x: Value, dilation: number): Value =>
    l.scope(name, () => {
      const [scale, shift] = op.split(
        l.batchReshape(l.linear('modulation', known, 2 * width, { zero: true }), [2 * width, 1, 1]),
        1,
        [width, width],
      ) as [Value, Value];
      const y = op.add2(op.mul(l.groupStandardize(x, GROUPS), op.addScalar(scale, 1)), shift);
      const seen = l.silu(convolve(l, 'conv', l.silu(y), width, config.kernel, { dilation }));
      return op.add2(x, convolve(l, 'out', seen, width, 1, { zero: true }));
    });

  const tokens = op.gather(l.weight('token_embedding.weight', [MASK_ID + 1, width], 0.5), ids, 0); // [B, L, C]
  let x = l.batchReshape(op.transpose(tokens, [0, 2, 1]), [width, 1, length]);
  x = convolve(l, 'stem', x, width, config.kernel);
  for (const [i, dilation] of config.dilations.entries()) x = block(`blocks.${i}`, x, dilation);
  const logits = convolve(l, 'head', l.silu(l.groupNorm('norm', x, GROUPS)), BASES.length, 1, { zero: true });
  op.output(op.transpose(l.batchReshape(logits, [BASES.length, length]), [0, 2, 1]), 'logits');
  return op.toModel('enhancer-denoiser', (v) => ['batch', ...v.dims.slice(1)]);
}
