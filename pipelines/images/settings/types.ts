import type { SamplerName } from '#pipelines/schedulers/names.ts';
import type { NorthlightSettings } from './northlight-settings.ts';

export type SettingsSource = 'northlight' | 'a1111' | 'comfyui' | 'invokeai' | 'swarmui' | 'draw-things';

export interface UsedLora {
  readonly name: string;
  readonly weight: number;
  /** As the program wrote it: a SHA-256 or the start of one; null when it wrote none. */
  readonly hash: string | null;
}

/** How a picture was made, as far as its file says. Null is "not said". */
export interface PictureSettings {
  readonly source: SettingsSource;
  /** As written, `<lora:…>` tags included. */
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly steps: number | null;
  /** Ours, or null where we have none like it; `samplerName` is the name as written. */
  readonly sampler: SamplerName | null;
  readonly samplerName: string | null;
  /** Noise schedule as written ("Karras"). */
  readonly schedule: string | null;
  readonly guidanceScale: number | null;
  readonly seed: number | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly modelName: string | null;
  readonly modelHash: string | null;
  readonly loras: readonly UsedLora[];
  /** 1 is the last layer of the text encoder, 2 the one before. */
  readonly clipSkip: number | null;
  /** Strength of image to image, 0…1. */
  readonly denoising: number | null;
  /** Whatever else the file says, as text. */
  readonly other: Readonly<Record<string, string>>;
  /** Everything, for a picture of ours. */
  readonly own: NorthlightSettings | null;
}
