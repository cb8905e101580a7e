import type { ImageFamily } from './family.ts';
import { isTextUnet, openUnet } from './unet.ts';

/** Stable Diffusion 1.x (Rombach et al. 2022, arXiv:2112.10752) and every U-Net of latents that reads one text encoder. */
export const sd1: ImageFamily = {
  name: 'sd1',
  title: 'Stable Diffusion 1',
  classNames: /^(Onnx|ORT)?StableDiffusion(Img2Img|Inpaint)?(Pipeline)?$|^OnnxStableDiffusion\w*Pipeline$/,
  fits: (found) => isTextUnet(found),
  open: (found) =>
    openUnet(found, {
      name: 'sd1',
      title: 'Stable Diffusion 1',
      vae: { scalingFactor: 0.18215 },
      size: 512,
      guidance: 'classifier-free',
      defaults: { steps: 30, guidanceScale: 7.5 },
    }),
};
