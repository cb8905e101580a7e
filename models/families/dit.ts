import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { classLabel, classNames } from './class-label.ts';
import type { ImageFamily, ImageModel } from './family.ts';
import { fixed, inputOf } from './ports.ts';
import { textPart } from './text-part.ts';
import { openTransformer, unpackedPlan } from './transformer.ts';
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
  const opened = openTransformer(found, {
    name: 'dit',
    title: TITLE,
    inputs: INPUTS,
    sample: ['hidden_states', 'sample'],
    vae: { scalingFactor: 0.18215 },
  });
  const denoiser = opened.network;
  const context = inputOf(denoiser, 'encoder_hidden_states');
  const classes = inputOf(denoiser, 'class_labels') ? classNames(found, denoiser) : null;
  const [size, ratio] = ['resolution', 'aspect_ratio'].map((name) => inputOf(denoiser, name) !== undefined);
  return {
    ...opened.common,
    ...unpackedPlan(opened, 4, classes ? 256 : 1024),
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
    guidance: 'classifier-free',
    defaults: { steps: 20, guidanceScale: classes ? 4 : 4.5 },
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
