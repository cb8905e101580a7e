import type { ImageFamily } from './family.ts';
import { inputOf } from './ports.ts';
import { isTextUnet, openUnet } from './unet.ts';

/** SDXL and its refiner (Podell et al. 2023, arXiv:2307.01952): two text encoders, told the picture's size. */
export const sdxl: ImageFamily = {
  name: 'sdxl',
  title: 'Stable Diffusion XL',
  classNames: /StableDiffusionXL/,
  fits: (found) => isTextUnet(found) && inputOf(found.components.get('denoiser'), 'text_embeds') !== undefined,
  open: (found) =>
    openUnet(found, {
      name: 'sdxl',
      title: 'Stable Diffusion XL',
      vae: { scalingFactor: 0.13025 },
      size: 1024,
      guidance: 'classifier-free',
      defaults: { steps: 30, guidanceScale: 5 },
    }),
};
