import type { Layers } from '#models/families/layers.ts';
import type { Value } from '#models/onnx/builder.ts';

/**
 * A convolution along a sequence, `[B, C, 1, L] → [B, out, 1, L]`: odd kernel, same padding. Kernels are two-dimensional with a
 * height of one, because the runtime's blocked layouts are for those.
 */
export function convolve(
  l: Layers,
  name: string,
  x: Value,
  out: number,
  kernel: number,
  options: { readonly dilation?: number; readonly zero?: boolean } = {},
): Value {
  const channels = x.dims[1]!;
  const dilation = options.dilation ?? 1;
  const pad = (dilation * (kernel - 1)) / 2;
  return l.scope(name, () =>
    l.op.conv(
      x,
      l.weight('weight', [out, channels, 1, kernel], options.zero ? 0 : Math.sqrt(3 / (channels * kernel))),
      l.weight('bias', [out], 0),
      { pads: [0, pad, 0, pad], dilations: [1, dilation] },
    ),
  );
}
