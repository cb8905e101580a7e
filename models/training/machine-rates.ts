import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession } from '#models/runtime/session.ts';
import { f32, numel } from '#models/tensor/tensor.ts';
import type { MachineRates } from './estimate.ts';

const LARGE = 2 ** 22; // elements: beyond the caches
const SMALL = 2 ** 14;
const CHAIN = 16;

const measured = new Map<number | undefined, Promise<MachineRates>>();

/** The rates of this machine, measured once in a process. */
export function machineRates(threads?: number): Promise<MachineRates> {
  const known = measured.get(threads) ?? measureRates(threads);
  measured.set(threads, known);
  return known;
}

/** Measures what the CPU does per second in under a second: the best of a few runs of each small graph. */
export async function measureRates(threads?: number): Promise<MachineRates> {
  const square = 768;
  const product = await seconds(threads, [square, square], (op, x) => chain(4, x, (v) => op.matmul(v, x)));
  const [channels, size] = [128, 48];
  const conv = await seconds(threads, [1, channels, size, size], (op, x) => {
    const w = op.initializer(
      'w',
      f32([channels, channels, 3, 3], new Float32Array(channels * channels * 9).fill(1e-3)),
    );
    return chain(2, x, (v) => op.conv(v, w, null, { pads: [1, 1, 1, 1] }));
  });
  const large = await seconds(threads, [LARGE], (op, x) => chain(2, x, (v) => op.mul(v, x)));
  const small = await seconds(threads, [SMALL], (op, x) => chain(CHAIN, x, (v) => op.mul(v, x)));
  const tiny = await seconds(threads, [8], (op, x) => chain(CHAIN, x, (v) => op.mul(v, x)));
  const softmax = await seconds(threads, [1024, 1024], (op, x) => op.softmax(x));
  const nodeSeconds = tiny / CHAIN;
  const memoryBytes = (2 * 3 * 4 * LARGE) / large;
  return {
    productFlops: (4 * 2 * square ** 3) / product,
    convFlops: (2 * 2 * channels * channels * 9 * size * size) / conv,
    memoryBytes,
    cacheBytes: Math.max(memoryBytes, (CHAIN * 3 * 4 * SMALL) / Math.max(1e-7, small - tiny)),
    softmaxElements: 2 ** 20 / softmax,
    nodeSeconds,
  };
}

function chain(times: number, x: Value, next: (v: Value) => Value): Value {
  let v = x;
  for (let i = 0; i < times; i++) v = next(v);
  return v;
}

/** Wall time of one run of a graph from one input, without the copy of its result. */
async function seconds(
  threads: number | undefined,
  dims: readonly number[],
  body: (op: GraphBuilder, x: Value) => Value,
): Promise<number> {
  const op = createBuilder();
  const y = body(op, op.input('x', 'float32', dims));
  op.output(op.slice(op.reshape(y, [numel(y.dims)]), 0, 0, 1), 'y');
  const session = await createSession(encodeModel(op.toModel('rate')), {
    training: true,
    optimization: 'extended',
    ...(threads ? { threads } : {}),
  });
  const feeds = { x: f32(dims, new Float32Array(numel(dims)).fill(0.5)) };
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    await session.run(feeds);
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  await session.release();
  return best;
}
