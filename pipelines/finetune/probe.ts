import type { ModelFolder } from '#models/families/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, fromNumbers, numel, type Tensor } from '#models/tensor/tensor.ts';

const PROBES = 4;

/** A small fixed batch to compare outputs on: unit noise at timesteps from early to late. */
export function probeFeeds(folder: ModelFolder): Record<string, Tensor> {
  const rng = new Rng(0).fork('adapter-probe');
  const normal = (dims: readonly number[], label: string) =>
    f32(dims, rng.fork(label).fillNormal(new Float32Array(numel(dims))));
  const feeds: Record<string, Tensor> = { sample: normal([PROBES, ...folder.dims], 'sample') };
  const time = folder.unet.graph.inputs.find((i) => i.name === 'timestep')!;
  const values = Array.from({ length: PROBES }, (_, i) => Math.round(((i + 0.5) / PROBES) * 999));
  const dims = time.dims?.length === 0 ? [] : [PROBES];
  feeds.timestep = fromNumbers(time.dtype, dims, dims.length === 0 ? [values[1]!] : values);
  if (folder.contextDims) feeds.encoder_hidden_states = normal([PROBES, ...folder.contextDims], 'context');
  return feeds;
}
