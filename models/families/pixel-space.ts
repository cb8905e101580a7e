import { NorthlightError } from '#models/errors.ts';
import { classLabel, classNames } from './class-label.ts';
import type { ImageFamily, ImageModel } from './family.ts';
import { sizePlan } from './latent.ts';
import {
  checkInputs,
  fixed,
  inputNamed,
  inputOf,
  numberIn,
  requiredDenoiser,
  requiredScheduler,
  resultOf,
} from './ports.ts';
import { textPart } from './text-part.ts';
import type { FoundFolder } from './types.ts';

const TITLE = 'Pixel-space diffusion';

/** Samples are pictures themselves (Ho et al. 2020, arXiv:2006.11239), with a prompt, a class or nothing to go by. */
export const pixelSpace: ImageFamily = {
  name: 'pixel-space',
  title: TITLE,
  classNames: /^(DDPM|DDIM)Pipeline$/,
  fits: (found) => {
    const denoiser = found.components.get('denoiser');
    const sample = inputOf(denoiser, 'sample');
    // Nothing says: a network that reads a text is far more often one of latents whose decoder was forgotten.
    const likely = inputOf(denoiser, 'encoder_hidden_states') ? 4 : 3;
    const channels = fixed(sample?.dims[1]) ?? numberIn(denoiser?.config ?? null, 'in_channels') ?? likely;
    const latents = found.components.has('vae_decoder') || found.index.vae || found.index.vae_decoder;
    return sample !== undefined && !latents && (channels === 3 || channels === 1);
  },
  open,
};

function open(found: FoundFolder): ImageModel {
  const denoiser = requiredDenoiser(found);
  const sample = inputNamed(denoiser, ['sample']);
  inputNamed(denoiser, ['timestep']);
  checkInputs(denoiser, ['sample', 'timestep', 'encoder_hidden_states', 'class_labels'], TITLE);
  const channels = fixed(sample.dims[1]) ?? numberIn(denoiser.config, 'in_channels');
  const size = sizePlan(denoiser, null, [fixed(sample.dims[2]), fixed(sample.dims[3])], 0, 1);
  if (channels === undefined || size.width === 0 || size.height === 0) {
    throw new NorthlightError(
      'model/size',
      `The picture size of ${denoiser.path} is free, and unet/config.json has no sample_size and in_channels.`,
      'Add "sample_size" and "in_channels" to unet/config.json.',
    );
  }
  const context = inputOf(denoiser, 'encoder_hidden_states');
  const classes = inputOf(denoiser, 'class_labels') ? classNames(found, denoiser) : null;
  return {
    family: 'pixel-space',
    title: TITLE,
    denoiser: {
      component: denoiser,
      sample: 'sample',
      timestep: 'timestep',
      output: resultOf(denoiser).name,
      channels,
      extraChannels: 0,
      packed: false,
      timestepScale: 1,
    },
    vae: null,
    text: context ? [textPart(found, 'text_encoder', { layer: 'last', exactTokens: fixed(context.dims[1]) })] : [],
    classes,
    size,
    guidance: context ? 'classifier-free' : 'none',
    defaults: { steps: 30, guidanceScale: context ? 3 : 1 },
    schedulerConfig: requiredScheduler(found),
    condition: ([encoded], text) => {
      if (encoded) return new Map([['encoder_hidden_states', encoded.hidden!]]);
      return classes ? new Map([['class_labels', classLabel(text, classes, 0)]]) : new Map();
    },
    constants: () => new Map(),
  };
}
