import type { SizePlan, VaePlan } from './family.ts';
import { fixed, inputNamed, numberIn, required } from './ports.ts';
import type { Component, FoundFolder } from './types.ts';

export interface VaeConstants {
  readonly scalingFactor: number;
  readonly shiftFactor?: number;
}

/** The autoencoder of a folder; what its configuration does not say comes from the family. @throws `model/missing-file` */
export function vaePlan(found: FoundFolder, fallback: VaeConstants): VaePlan {
  const decoder = required(found, 'vae_decoder', 'The model works on latents, but its decoder');
  const { config } = decoder;
  const shift = config.shift_factor === null ? 0 : numberIn(config, 'shift_factor');
  return {
    decoder,
    encoder: found.components.get('vae_encoder') ?? null,
    scaleFactor: 2 ** (levels(config) - 1),
    scalingFactor: numberIn(config, 'scaling_factor') ?? fallback.scalingFactor,
    shiftFactor: shift ?? fallback.shiftFactor ?? 0,
  };
}

/** Resolutions that the autoencoder works at; all published ones halve the picture between two of them. Default 4. */
function levels(config: Readonly<Record<string, unknown>>): number {
  for (const key of ['block_out_channels', 'encoder_block_out_channels']) {
    const blocks = config[key];
    if (Array.isArray(blocks) && blocks.length > 0) return blocks.length;
  }
  return 4;
}

/** Channels of a latent as the decoder has them. */
export function latentChannels(vae: VaePlan): number | undefined {
  const port = inputNamed(vae.decoder, [
    'latent_sample',
    'latents',
    'z',
    ...vae.decoder.signature.inputs.map((p) => p.name),
  ]);
  return fixed(port.dims[1]) ?? numberIn(vae.decoder.config, 'latent_channels');
}

/**
 * The picture size: what the denoiser's export fixed; else what the decoder's did, what the configuration says, or `fallback`
 * pixels, to begin with.
 * @param sides the denoiser's own sizes `[height, width]` in latent elements, where they are fixed.
 * @param multiple of latent elements that a side must be.
 */
export function sizePlan(
  denoiser: Component,
  vae: VaePlan | null,
  sides: readonly [number | undefined, number | undefined],
  fallback: number,
  multiple: number,
): SizePlan {
  const factor = vae?.scaleFactor ?? 1;
  const decoded = vae?.decoder.signature.inputs[0]?.dims ?? [];
  const [height, width] = [0, 1].map((i) => {
    // A decoder of a fixed size decodes larger latents in tiles.
    const side: number | undefined = sides[i] ?? fixed(decoded[2 + i]) ?? configSide(denoiser, i);
    return { side, locked: sides[i] !== undefined };
  }) as [Side, Side];
  return {
    width: width.side === undefined ? fallback : width.side * factor,
    height: height.side === undefined ? fallback : height.side * factor,
    multiple: multiple * factor,
    free: !width.locked && !height.locked,
  };
}

interface Side {
  readonly side: number | undefined;
  readonly locked: boolean;
}

/** `sample_size` of the denoiser's configuration: one number, or height and width. */
function configSide({ config }: Component, i: number): number | undefined {
  const size = config.sample_size;
  if (Array.isArray(size)) return typeof size[i] === 'number' ? (size[i] as number) : undefined;
  return typeof size === 'number' ? size : undefined;
}
