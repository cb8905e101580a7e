import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession, type Provider } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32 } from '#models/tensor/tensor.ts';

/** What one provider does with a small network here. */
export interface ProviderProbe {
  readonly loadMs: number;
  readonly stepMs: number;
  /** Largest absolute difference from the CPU's answer, relative to its largest value. */
  readonly difference: number;
}

const SIZE = 256;
const STEPS = 5;

/** tanh(x·W)·W with unit-variance weights: enough to meet a provider's matrix product and one elementwise kernel. */
function network(): Uint8Array {
  const rng = new Rng(0);
  const op = createBuilder();
  const scale = 1 / Math.sqrt(SIZE);
  const x = op.input('x', 'float32', [SIZE, SIZE]);
  const w = op.initializer(
    'w',
    f32(
      [SIZE, SIZE],
      rng.fillNormal(new Float32Array(SIZE * SIZE)).map((v) => v * scale),
    ),
  );
  op.output(op.matmul(op.tanh(op.matmul(x, w)), w), 'y');
  return encodeModel(op.toModel('probe'));
}

async function measure(provider: Provider): Promise<ProviderProbe> {
  const model = network();
  const feeds = { x: f32([SIZE, SIZE], new Rng(1).fillNormal(new Float32Array(SIZE * SIZE))) };
  const started = performance.now();
  const session = await createSession(model, { provider });
  const loadMs = performance.now() - started;
  let y = (await session.run(feeds)).y!.data as Float32Array;
  const times: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    const begun = performance.now();
    y = (await session.run(feeds)).y!.data as Float32Array;
    times.push(performance.now() - begun);
  }
  await session.release();
  const cpu = await createSession(model, { provider: 'cpu' });
  const reference = (await cpu.run(feeds)).y!.data as Float32Array;
  await cpu.release();
  let largest = 0;
  let difference = 0;
  for (const [i, value] of reference.entries()) {
    largest = Math.max(largest, Math.abs(value));
    difference = Math.max(difference, Math.abs(value - y[i]!));
  }
  return { loadMs, stepMs: times.sort((a, b) => a - b)[STEPS >> 1]!, difference: difference / largest };
}

// Its own process, because a provider that does not work here may end the process instead of throwing.
if (import.meta.main) {
  try {
    console.log(JSON.stringify(await measure((process.argv[2] ?? 'cpu') as Provider)));
  } catch (error) {
    console.log(JSON.stringify({ reason: error instanceof Error ? error.message : String(error) }));
  }
}
