import { join } from 'node:path';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession, type SessionOptions } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { readSafetensors } from '#models/tensor/safetensors.ts';
import { f32, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { initLora, type LoraScale, type LoraTarget } from '#models/training/lora.ts';

const GOLDEN = join(import.meta.dirname, '..', '..', 'golden', 'gradients', 'unet');

/** A small UNet as PyTorch exports it, with free batch and size. */
export const UNET = join(GOLDEN, 'unet-opset13-dynamic.onnx');
/** The same, with the transposes of its linear weights left in the graph. */
export const UNET_UNFOLDED = join(GOLDEN, 'unet-opset13-dynamic-unfolded.onnx');
export const unetFeeds = (): Record<string, Tensor> =>
  Object.fromEntries(readSafetensors(join(GOLDEN, 'inputs.safetensors')).tensors);

export function randomTensor(rng: Rng, dims: readonly number[], scale = 1): Tensor<'float32'> {
  return f32(
    dims,
    rng.fillNormal(new Float32Array(numel(dims))).map((x) => x * scale),
  );
}

/**
 * One layer of each kind: 3×3 convolution of stride 2, 1×1 convolution, MatMul with [in, out], MatMul behind a Transpose,
 * Gemm with [out, in]. Input `x` [batch, 3, 8, 8], output `y` [batch, 5], the batch free.
 */
export function smallNetwork(seed = 7): Model {
  const rng = new Rng(seed);
  const op = createBuilder();
  const weight = (name: string, dims: readonly number[]) =>
    op.initializer(name, randomTensor(rng.fork(name), dims, 1 / Math.sqrt(numel(dims.slice(1)))));
  const x = op.input('x', 'float32', [1, 3, 8, 8]);
  const options = { strides: [2, 2], pads: [1, 1, 1, 1] };
  const a = op.conv(x, weight('down.0.conv.weight', [6, 3, 3, 3]), weight('down.0.conv.bias', [6]), options);
  const b = op.conv(op.tanh(a), weight('down.0.attn.proj_in.weight', [4, 6, 1, 1]), null);
  const tokens = op.transpose(op.apply('Reshape', [b, op.i64([0, 4, 16])]), [0, 2, 1]); // [batch, 16, 4]
  const q = op.tanh(op.apply('MatMul', [tokens, weight('onnx::MatMul_1', [4, 7])], {}, '/down.0/attn/to_q/MatMul'));
  const v = op.matmul(q, op.transpose(weight('down.0.attn.to_v.weight', [3, 7]), [1, 0]));
  const pooled = op.reduceMean(v, [1], false); // [batch, 3]
  op.output(op.gemm(pooled, weight('head.weight', [5, 3]), weight('head.bias', [5]), { transB: true }), 'y');
  return op.toModel('small', (value) => ['batch', ...value.dims.slice(1)]);
}

/** An adapter that does something: both halves random. */
export function randomLora(targets: readonly LoraTarget[], scale: LoraScale, seed: number): Map<string, Tensor> {
  const rng = new Rng(seed);
  return new Map(
    [...initLora(targets, scale, rng)].map(([name, t]) => [name, randomTensor(rng.fork(name), t.dims, 0.3)]),
  );
}

export async function runModel(
  model: Model,
  feeds: Record<string, Tensor>,
  optimization: NonNullable<SessionOptions['optimization']> = 'all',
): Promise<Tensor> {
  const session = await createSession(encodeModel(model), { optimization, threads: 1 });
  const results = await session.run(feeds);
  await session.release();
  return Object.values(results)[0]!;
}

export function largestDifference(a: Tensor, b: Tensor): number {
  const others = toNumbers(b);
  return Math.max(...toNumbers(a).map((x, i) => Math.abs(x - others[i]!)));
}
