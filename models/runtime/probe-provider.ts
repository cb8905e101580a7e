import { toPlainError } from '#models/errors.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, toNumbers } from '#models/tensor/tensor.ts';
import { createSession, type Provider } from './session.ts';

// Runs in a throw-away process of its own: see providers.ts. Argument: the provider; answer: one message.
const SIZE = 64;
const provider = process.argv[2] as Provider;

async function measure(): Promise<{ seconds: number; result: number[] } | { reason: string }> {
  try {
    const rng = new Rng(1);
    const draw = (label: string) => f32([SIZE, SIZE], rng.fork(label).fillNormal(new Float32Array(SIZE * SIZE)));
    const op = createBuilder();
    const a = op.input('a', 'float32', [SIZE, SIZE]);
    op.output(op.matmul(a, op.input('b', 'float32', [SIZE, SIZE])), 'y');
    const session = await createSession(encodeModel(op.toModel('probe')), { provider });
    const feeds = { a: draw('a'), b: draw('b') };
    // The first run compiles kernels.
    await session.run(feeds);
    const started = performance.now();
    const { y } = await session.run(feeds);
    const seconds = (performance.now() - started) / 1000;
    return { seconds, result: toNumbers(y!) };
  } catch (error) {
    return { reason: toPlainError(error).message };
  }
}

const answer = await measure();
process.send?.(answer, () => {
  // Drivers keep threads that would hold the process open, and some abort while they are taken down.
  process.exit(0);
});
