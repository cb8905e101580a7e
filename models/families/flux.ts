import { NorthlightError } from '#models/errors.ts';
import { f32 } from '#models/tensor/tensor.ts';
import type { ImageFamily, ImageModel, VaePlan } from './family.ts';
import { latentChannels, sizePlan } from './latent.ts';
import { imagePositions } from './pack.ts';
import { fixed, inputNamed, inputOf, numberIn, resultOf } from './ports.ts';
import { textPart } from './text-part.ts';
import { openTransformer, transformerPlan } from './transformer.ts';
import type { Component, FoundFolder } from './types.ts';

const TITLE = 'Flux';
const INPUTS = [
  'hidden_states',
  'encoder_hidden_states',
  'pooled_projections',
  'timestep',
  'txt_ids',
  'img_ids',
  'guidance',
];

/** Flux.1 (Black Forest Labs 2024): a flow-matching transformer over packed 2×2 patches, told the guidance scale. */
export const flux: ImageFamily = {
  name: 'flux',
  title: TITLE,
  classNames: /Flux/,
  fits: (found) => {
    const denoiser = found.components.get('denoiser');
    return inputOf(denoiser, 'img_ids') !== undefined && inputOf(denoiser, 'hidden_states')?.dims.length === 3;
  },
  open,
};

function open(found: FoundFolder): ImageModel {
  const opened = openTransformer(found, {
    name: 'flux',
    title: TITLE,
    inputs: INPUTS,
    sample: ['hidden_states'],
    vae: { scalingFactor: 0.3611, shiftFactor: 0.1159 },
  });
  const { network: denoiser, sample, vae } = opened;
  const features = fixed(sample.dims[2]) ?? numberIn(denoiser.config, 'in_channels') ?? 4 * (latentChannels(vae) ?? 16);
  const channels = (fixed(resultOf(denoiser).dims[2]) ?? numberIn(denoiser.config, 'out_channels') ?? features) / 4;
  if (features !== 4 * channels) {
    throw new NorthlightError(
      'model/unknown-input',
      `${denoiser.path} reads ${features} numbers per patch and gives ${4 * channels}: it also wants a picture or a mask.`,
      'Choose the plain Flux model, without Fill, Depth or Canny.',
    );
  }
  const guidance = inputOf(denoiser, 'guidance');
  const tokens = fixed(inputNamed(denoiser, ['encoder_hidden_states']).dims[1]);
  return {
    ...opened.common,
    denoiser: { ...transformerPlan(opened, channels), packed: true, timestepScale: 0.001 },
    text: [
      textPart(found, 'text_encoder', { layer: 'none', pooled: ['pooler_output', 'text_embeds'] }),
      textPart(found, 'text_encoder_2', {
        layer: 'last',
        exactTokens: tokens,
        tokens: guidance ? 512 : 256,
        emphasis: false,
      }),
    ],
    classes: null,
    size: sizePlan(denoiser, vae, sidesOf(denoiser, vae, fixed(sample.dims[1])), 1024, 2),
    guidance: 'embedded',
    defaults: guidance ? { steps: 28, guidanceScale: 3.5 } : { steps: 4, guidanceScale: 0 },
    condition: ([clip, t5]) => {
      const hidden = t5!.hidden!;
      const places = [hidden.dims[0]!, 3];
      return new Map([
        ['encoder_hidden_states', hidden],
        ['pooled_projections', clip!.pooled!],
        ['txt_ids', f32(places, new Float32Array(3 * hidden.dims[0]!))],
      ]);
    },
    constants: ({ width, height, guidanceScale }) => {
      const places = imagePositions(height / vae.scaleFactor, width / vae.scaleFactor);
      const feeds = new Map([['img_ids', places]]);
      if (guidance) feeds.set('guidance', f32([], [guidanceScale]));
      return feeds;
    },
  };
}

/** Height and width of the latent where the export fixed the number of patches: as the decoder has them, else a square. */
function sidesOf(
  denoiser: Component,
  vae: VaePlan,
  patches: number | undefined,
): [number | undefined, number | undefined] {
  if (patches === undefined) return [undefined, undefined];
  const [height, width] = (vae.decoder.signature.inputs[0]?.dims ?? []).slice(2).map(fixed);
  if (height !== undefined && width !== undefined && height * width === 4 * patches) return [height, width];
  const side = 2 * Math.sqrt(patches);
  if (Number.isInteger(side)) return [side, side];
  throw new NorthlightError(
    'model/size',
    `${denoiser.path} was exported for ${patches} patches, and nothing says how high and wide a picture they make.`,
    'Export the model for square pictures, or with free sizes.',
  );
}
