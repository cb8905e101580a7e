import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { candidateProviders, type ProviderTrial, type TrustOptions, trustProvider } from './choose-provider.ts';
import { runTrial, type TrialGraph, type TrialRun } from './graph-trial.ts';
import type { Provider } from './session.ts';

const SIZE = 256;

/** tanh(x·W)·W: what a provider must at least do, and little enough for one that computes in software. */
function probeGraph(threads?: number): TrialGraph {
  const rng = new Rng(1);
  const draw = (label: string, scale: number) =>
    f32(
      [SIZE, SIZE],
      rng
        .fork(label)
        .fillNormal(new Float32Array(SIZE * SIZE))
        .map((v) => v * scale),
    );
  const op = createBuilder();
  const x = op.input('x', 'float32', [SIZE, SIZE]);
  const w = op.input('w', 'float32', [SIZE, SIZE]);
  op.output(op.matmul(op.tanh(op.matmul(x, w)), w), 'y');
  const feeds = { x: draw('x', 1), w: draw('w', 1 / Math.sqrt(SIZE)) };
  return { bytes: encodeModel(op.toModel('probe')), feeds, threads };
}

/**
 * Tries every execution provider that this system may have with two small matrix products, each in a process of its own
 * (`trustProvider`). The CPU comes first and is what the others are compared with.
 */
export async function listProviders(
  options: TrustOptions & { readonly providers?: readonly Provider[]; readonly threads?: number } = {},
): Promise<ProviderTrial[]> {
  const graph = probeGraph(options.threads);
  let cpu: Promise<TrialRun> | undefined;
  const reference = () => {
    cpu ??= runTrial('cpu', graph, options);
    return cpu;
  };
  const trials: ProviderTrial[] = [];
  // One after another: two at once would share the device and spoil each other's time.
  for (const provider of options.providers ?? candidateProviders()) {
    trials.push(await trustProvider(provider, graph, options, reference));
  }
  return trials;
}
