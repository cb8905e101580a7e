import type { ImageFamily } from './family.ts';
import { inputOf } from './ports.ts';
import type { FoundFolder } from './types.ts';
import { isTextUnet, openUnet } from './unet.ts';

/** SD-Turbo and SDXL-Turbo (Sauer et al. 2023, arXiv:2311.17042): one to four steps, no guidance. */
export const turbo: ImageFamily = {
  name: 'turbo',
  title: 'Turbo',
  classNames: /StableDiffusion/,
  fits: (found) => isTextUnet(found) && isDistilled(found),
  open: (found) => {
    const xl = inputOf(found.components.get('denoiser'), 'text_embeds') !== undefined;
    return openUnet(found, {
      name: 'turbo',
      title: xl ? 'SDXL Turbo' : 'SD Turbo',
      vae: { scalingFactor: xl ? 0.13025 : 0.18215 },
      size: 512,
      guidance: 'distilled',
      defaults: { steps: 1, guidanceScale: 0 },
      scheduler: { timestep_spacing: 'trailing' },
    });
  },
};

/**
 * The graphs are those of Stable Diffusion. What gives a distilled model away is its schedule, Euler from the very last timestep
 * with noise predicted, or its name.
 */
function isDistilled({ schedulerConfig, index, path }: FoundFolder): boolean {
  const name = `${String(index._name_or_path ?? '')}/${path.split(/[\\/]/).at(-1)}`;
  if (/turbo/i.test(name)) return true;
  return (
    schedulerConfig !== null &&
    /^Euler/.test(String(schedulerConfig._class_name)) &&
    schedulerConfig.timestep_spacing === 'trailing' &&
    (schedulerConfig.prediction_type ?? 'epsilon') === 'epsilon' &&
    schedulerConfig.rescale_betas_zero_snr !== true
  );
}
