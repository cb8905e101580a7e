import { parseObject } from './bounds.ts';
import { northlightSettings } from './northlight-settings.ts';
import type { PictureSettings } from './types.ts';

export function northlightPicture(json: string): PictureSettings | null {
  const parsed = northlightSettings.safeParse(parseObject(json));
  if (!parsed.success) return null;
  const own = parsed.data;
  const { prompt, negativePrompt, steps, scheduler, guidanceScale, seed, width, height } = own;
  return {
    source: 'northlight',
    ...{
      prompt,
      negativePrompt,
      steps,
      sampler: scheduler,
      samplerName: scheduler,
      schedule: null,
      guidanceScale,
      seed,
    },
    ...{ width, height, modelName: own.model.name, modelHash: own.model.hash, loras: own.adapters },
    clipSkip: own.clipSkip,
    denoising: own.denoising,
    other: { version: own.version, provider: own.provider, eta: String(own.eta), index: String(own.index) },
    own,
  };
}
