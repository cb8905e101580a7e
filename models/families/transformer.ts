import type { DenoiserPlan, ImageModel, VaePlan } from './family.ts';
import { latentChannels, sizePlan, type VaeConstants, vaePlan } from './latent.ts';
import { checkInputs, fixed, inputNamed, numberIn, requiredDenoiser, requiredScheduler, resultOf } from './ports.ts';
import type { Component, FoundFolder, SignaturePort } from './types.ts';

/** What tells the families of transformers over latents apart when they are opened. */
export interface TransformerFamily {
  readonly name: string;
  readonly title: string;
  /** All that the network may read. */
  readonly inputs: readonly string[];
  /** Names of the input for the sample, by exporter. */
  readonly sample: readonly string[];
  readonly vae: VaeConstants;
}

export interface Transformer {
  readonly network: Component;
  readonly sample: SignaturePort;
  readonly vae: VaePlan;
  /** What every family says alike. */
  readonly common: Pick<ImageModel, 'family' | 'title' | 'schedulerConfig'> & { readonly vae: VaePlan };
}

/** Network, autoencoder and scheduler of a transformer over latents, found and checked. @throws {NorthlightError} `model/…` */
export function openTransformer(found: FoundFolder, family: TransformerFamily): Transformer {
  const { name, title } = family;
  const network = requiredDenoiser(found);
  checkInputs(network, family.inputs, title);
  const vae = vaePlan(found, family.vae);
  const sample = inputNamed(network, family.sample);
  inputNamed(network, ['timestep']);
  return { network, sample, vae, common: { family: name, title, vae, schedulerConfig: requiredScheduler(found) } };
}

export function transformerPlan({ network, sample }: Transformer, channels: number): DenoiserPlan {
  return {
    component: network,
    sample: sample.name,
    timestep: 'timestep',
    output: resultOf(network).name,
    channels,
    extraChannels: 0,
    packed: false,
    timestepScale: 1,
  };
}

/**
 * Of one that reads latents as they are, `[B, C, H, W]`.
 * @param channels where nothing says.
 * @param pixels side of a picture where nothing says.
 */
export function unpackedPlan(
  opened: Transformer,
  channels: number,
  pixels: number,
): Pick<ImageModel, 'denoiser' | 'size'> {
  const { network, sample, vae } = opened;
  const [, depth, height, width] = sample.dims;
  const read = fixed(depth) ?? numberIn(network.config, 'in_channels') ?? latentChannels(vae) ?? channels;
  return {
    denoiser: transformerPlan(opened, read),
    size: sizePlan(network, vae, [fixed(height), fixed(width)], pixels, 2),
  };
}
