import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { classLabel, classNames } from './class-label.ts';
import type { ImageFamily, ImageModel } from './family.ts';
import { latentChannels, sizePlan, vaePlan } from './latent.ts';
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

const TITLE = 'Diffusion transformer';
const INPUTS = [
  'hidden_states',
  'sample',
  'timestep',
  'encoder_hidden_states',
  'encoder_attention_mask',
  'class_labels',
  'resolution',
  'aspect_ratio',
];

/**
 * Transformers over latents: DiT with classes (Peebles and Xie 2023, arXiv:2212.09748), PixArt with a T5 prompt (Chen et al.
 * 2023, arXiv:2310.00426). What they also say of the variance is left out.
 */
export const dit: ImageFamily = {
  name: 'dit',
  title: TITLE,
  classNames: /^DiTPipeline|PixArt|Sana/,
  fits: (found) => {
    const denoiser = found.components.get('denoiser');
    const sample = inputOf(denoiser, 'hidden_states') ?? inputOf(denoiser, 'sample');
    const conditioned = ['encoder_attention_mask', 'class_labels', 'aspect_ratio'].some((n) => inputOf(denoiser, n));
    const plain =
      inputOf(denoiser, 'hidden_states') !== undefined && inputOf(denoiser, 'pooled_projections') === undefined;
    return sample?.dims.length === 4 && found.components.has('vae_decoder') && (conditioned || plain);
  },
  open,
};

/** Tokens of the prompt where the export does not say: of PixArt-Alpha, which is told the size, and of Sigma. */
const TOKENS = { alpha: 120, sigma: 300 } as const;

function open(found: FoundFolder): ImageModel {
  const denoiser = requiredDenoiser(found);
  checkInputs(denoiser, INPUTS, TITLE);
  const vae = vaePlan(found, { scalingFactor: 0.18215 });
  const sample = inputNamed(denoiser, ['hidden_states', 'sample']);
  inputNamed(denoiser, ['timestep']);
  const context = inputOf(denoiser, 'encoder_hidden_states');
  const classes = inputOf(denoiser, 'class_labels') ? classNames(found, denoiser) : null;
  const [size, ratio] = ['resolution', 'aspect_ratio'].map((name) => inputOf(denoiser, name) !== undefined);
  return {
    family: 'dit',
    title: TITLE,
    denoiser: {
      component: denoiser,
      sample: sample.name,
      timestep: 'timestep',
      output: resultOf(denoiser).name,
      channels: fixed(sample.dims[1]) ?? numberIn(denoiser.config, 'in_channels') ?? latentChannels(vae) ?? 4,
      extraChannels: 0,
      packed: false,
      timestepScale: 1,
    },
    vae,
    text: context
      ? [
          textPart(found, 'text_encoder', {
            layer: 'last',
            exactTokens: fixed(context.dims[1]),
            tokens: size ? TOKENS.alpha : TOKENS.sigma,
            emphasis: false,
            masksPadding: true,
          }),
        ]
      : [],
    classes,
    size: sizePlan(denoiser, vae, [fixed(sample.dims[2]), fixed(sample.dims[3])], classes ? 256 : 1024, 2),
    guidance: 'classifier-free',
    defaults: { steps: 20, guidanceScale: classes ? 4 : 4.5 },
    schedulerConfig: requiredScheduler(found),
    condition: ([encoded], text) => {
      const feeds = new Map<string, Tensor<'float32'>>();
      if (encoded) feeds.set('encoder_hidden_states', encoded.hidden!).set('encoder_attention_mask', encoded.mask);
      // One number past the classes stands for any of them.
      if (classes) feeds.set('class_labels', classLabel(text, classes, classes.length));
      return feeds;
    },
    constants: ({ width, height }) => {
      const feeds = new Map<string, Tensor<'float32'>>();
      if (size) feeds.set('resolution', f32([2], [height, width]));
      if (ratio) feeds.set('aspect_ratio', f32([1], [height / width]));
      return feeds;
    },
  };
}
