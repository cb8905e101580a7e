import type { Feeds, ImageModel } from '#models/families/family.ts';
import { latentDims } from '#models/families/model-folder.ts';
import { dimsEqual } from '#models/tensor/tensor.ts';
import { isBatched } from '#pipelines/sampling/feeds.ts';
import type { NetworkPorts } from './d3po-graph.ts';

/** What a denoiser reads besides sample and timestep, given what one sample has for it. */
export function networkPorts(model: ImageModel, inputs: Feeds): NetworkPorts {
  const { component, sample, timestep, output } = model.denoiser;
  const conditions = component.signature.inputs.flatMap((port) => {
    const one = inputs.get(port.name);
    return one ? [{ name: port.name, dtype: port.dtype, dims: one.dims, batched: isBatched(port, one) }] : [];
  });
  return { sample, timestep, output, conditions };
}

/** Size in pixels of the pictures that samples of this shape become; null for a shape the model has not. */
export function pixelsOf(model: ImageModel, dims: readonly number[]): { width: number; height: number } | null {
  const factor = model.vae?.scaleFactor ?? 1;
  const pixels = { width: (dims[2] ?? 0) * factor, height: (dims[1] ?? 0) * factor };
  const { size } = model;
  const possible = size.free || (pixels.width === size.width && pixels.height === size.height);
  return possible && dimsEqual(latentDims(model, pixels), dims) ? pixels : null;
}
