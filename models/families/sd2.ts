import type { ImageFamily } from './family.ts';
import { contextWidth, isTextUnet, openUnet } from './unet.ts';

/** Width of OpenCLIP ViT-H, which tells Stable Diffusion 2 from 1. */
const WIDTH = 1024;

/** Stable Diffusion 2.x: another text encoder, and in its 768-pixel form a network that predicts v. */
export const sd2: ImageFamily = {
  name: 'sd2',
  title: 'Stable Diffusion 2',
  classNames: /^(Onnx|ORT)?StableDiffusion(Img2Img|Inpaint)?(Pipeline)?$|^OnnxStableDiffusion\w*Pipeline$/,
  fits: (found) => isTextUnet(found) && contextWidth(found.components.get('denoiser')) === WIDTH,
  open: (found) =>
    openUnet(found, {
      name: 'sd2',
      title: 'Stable Diffusion 2',
      vae: { scalingFactor: 0.18215 },
      size: found.schedulerConfig?.prediction_type === 'v_prediction' ? 768 : 512,
      guidance: 'classifier-free',
      defaults: { steps: 30, guidanceScale: 7.5 },
    }),
};
