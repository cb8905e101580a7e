import type { ImageFamily } from './family.ts';
import { inputOf } from './ports.ts';
import { isTextUnet, openUnet } from './unet.ts';

/** Latent consistency models (Luo et al. 2023, arXiv:2310.04378): a few steps, the guidance scale is an input. */
export const lcm: ImageFamily = {
  name: 'lcm',
  title: 'Latent consistency model',
  classNames: /LatentConsistency/,
  fits: (found) => isTextUnet(found) && inputOf(found.components.get('denoiser'), 'timestep_cond') !== undefined,
  open: (found) => {
    const xl = inputOf(found.components.get('denoiser'), 'text_embeds') !== undefined;
    return openUnet(found, {
      name: 'lcm',
      title: 'Latent consistency model',
      vae: { scalingFactor: xl ? 0.13025 : 0.18215 },
      size: xl ? 1024 : 512,
      guidance: 'embedded',
      defaults: { steps: 4, guidanceScale: 8.5 },
    });
  },
};
