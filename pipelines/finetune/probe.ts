import type { EncodedText, ImageModel, TextPart } from '#models/families/family.ts';
import { latentDims, type ModelFolder } from '#models/families/model-folder.ts';
import { fixed, numberIn, outputOf } from '#models/families/ports.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { stackFor, toPort } from '#pipelines/sampling/feeds.ts';

const PROBES = 4;
/** Sides of the pictures that a model with free sizes is asked about, in pixels: a difference shows in small ones too. */
const SIDE = 256;

/** A small fixed batch to compare outputs on: unit noise, and as the prompt too, at timesteps from early to late. */
export function probeFeeds({ model }: ModelFolder): Record<string, Tensor> {
  const rng = new Rng(0).fork('adapter-probe');
  const normal = (label: string, dims: readonly number[]) =>
    f32(dims, rng.fork(label).fillNormal(new Float32Array(numel(dims))));
  const plan = model.denoiser;
  const ports = new Map(plan.component.signature.inputs.map((p) => [p.name, p]));
  const batch = fixed(ports.get(plan.sample)!.dims[0]) ?? (model.vae ? 1 : PROBES);
  const pixels = { ...probeSize(model), guidanceScale: model.defaults.guidanceScale };
  const [channels, height, width] = latentDims(model, pixels);
  const rows = Array.from({ length: batch }, (_, row) => {
    const encoded = model.text.map((part, i) => fakeText(part, (label, dims) => normal(`${label}-${i}-${row}`, dims)));
    return new Map([...model.condition(encoded, '', 'prompt'), ...model.constants(pixels, 'prompt')]);
  });
  const sampleDims = plan.packed
    ? [(height * width) / 4, 4 * channels]
    : [channels + plan.extraChannels, height, width];
  const time = ports.get(plan.timestep)!;
  const timesteps = Array.from({ length: batch }, (_, i) => Math.round(((i + 0.5) / batch) * 999) * plan.timestepScale);
  const feeds: Record<string, Tensor> = {
    [plan.sample]: toPort(ports.get(plan.sample)!.dtype, normal('sample', [batch, ...sampleDims])),
    [plan.timestep]:
      time.dims.length === 0
        ? toPort(time.dtype, f32([], [timesteps[batch >> 1]!]))
        : toPort(time.dtype, f32([batch], timesteps)),
  };
  for (const name of rows[0]!.keys()) {
    const port = ports.get(name);
    if (port)
      feeds[name] = stackFor(
        port,
        rows.map((r) => r.get(name)!),
      );
  }
  return feeds;
}

function probeSize({ size }: ImageModel): { width: number; height: number } {
  const side = (full: number) => (size.free ? Math.min(full, Math.ceil(SIDE / size.multiple) * size.multiple) : full);
  return { width: side(size.width), height: side(size.height) };
}

/** What an encoder might say of a text: noise of the right shape. */
function fakeText(part: TextPart, normal: (label: string, dims: readonly number[]) => Tensor<'float32'>): EncodedText {
  const width = (name: string, keys: readonly string[]) =>
    fixed(outputOf(part.component, name)?.dims.at(-1)) ??
    keys.map((key) => numberIn(part.component.config, key)).find((n) => n !== undefined) ??
    768;
  return {
    hidden:
      part.hidden === null ? null : normal('context', [part.tokens, width(part.hidden, ['hidden_size', 'd_model'])]),
    pooled: part.pooled === null ? null : normal('pooled', [width(part.pooled, ['projection_dim', 'hidden_size'])]),
    mask: f32([part.tokens], new Float32Array(part.tokens).fill(1)),
  };
}
