import { Rng } from '#models/tensor/rng.ts';
import { openModelFolder } from '#models/families/index.ts';
import { f32, i64, numel, type Tensor } from '#models/tensor/tensor.ts';
import { verifyLora } from '#models/training/lora-verify.ts';
import type { ModelFolder } from '#models/families/index.ts';
import type { JobFunction } from '#pipelines/engine/job-protocol.ts';
import { verifyPayload } from './payloads.ts';

const PROBES = 4;

/** A small fixed batch to compare outputs on: unit noise at timesteps from early to late. */
export function probeFeeds(folder: ModelFolder): Record<string, Tensor> {
  const rng = new Rng(0).fork('adapter-probe');
  const normal = (dims: readonly number[], label: string) => f32(dims, rng.fork(label).fillNormal(new Float32Array(numel(dims))));
  const feeds: Record<string, Tensor> = { sample: normal([PROBES, ...folder.dims], 'sample') };
  const time = folder.unet.graph.inputs.find((i) => i.name === 'timestep')!;
  const values = Array.from({ length: PROBES }, (_, i) => Math.round(((i + 0.5) / PROBES) * 999));
  const dims = time.dims?.length === 0 ? [] : [PROBES];
  const at = dims.length === 0 ? [values[1]!] : values;
  feeds.timestep = time.dtype === 'float32' ? f32(dims, at) : i64(dims, at);
  if (folder.contextDims) feeds.encoder_hidden_states = normal([PROBES, ...folder.contextDims], 'context');
  return feeds;
}

/** Re-reads an adapter file, applies it inserted and merged, and says how far the two and the base model differ. */
export const verify: JobFunction = async (payload, context) => {
  const p = verifyPayload.parse(payload);
  context.progress('applying the adapter', 0, 1);
  const folder = openModelFolder(p.modelPath);
  const { difference, effect } = await verifyLora({
    modelPath: folder.unetPath,
    model: folder.unet,
    file: p.adapterPath,
    live: null,
    feeds: probeFeeds(folder),
    prefix: 'lora_unet_',
  });
  context.progress('applying the adapter', 1, 1);
  return { difference, effect };
};
