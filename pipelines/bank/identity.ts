import { ETA_SAMPLERS, type SamplerName } from '#pipelines/schedulers/names.ts';
import { BANK_SEED, type BankIdentity, promptSet } from './key.ts';

interface Of {
  /** SHA-256 of the model folder. */
  readonly model: string;
  readonly adapters: BankIdentity['adapters'];
  readonly provider: string;
}

/** Settings that decide what plain pictures are like; neither the seed of a run nor what is kept of it does. */
export interface PictureSettings {
  readonly scheduler: SamplerName;
  readonly steps: number;
  readonly eta: number;
  readonly guidanceScale: number;
  readonly negativePrompt: string;
  readonly width: number;
  readonly height: number;
  readonly clipSkip: number;
}

/** The bank of plain pictures that steered ones are compared with. */
export function pictureIdentity(
  of: Of & { readonly prompts: readonly string[]; readonly settings: PictureSettings },
): BankIdentity {
  const { scheduler, steps, eta, guidanceScale, negativePrompt, width, height, clipSkip } = of.settings;
  const noise = ETA_SAMPLERS.includes(scheduler) ? eta : 0;
  return {
    kind: 'image',
    model: of.model,
    adapters: [...of.adapters],
    prompts: promptSet(of.prompts),
    settings: { scheduler, steps, eta: noise, guidanceScale, negativePrompt, width, height, clipSkip },
    seed: BANK_SEED,
    provider: of.provider,
  };
}

/** Settings that decide what plain sequences are like. */
export interface SequenceBankSettings {
  readonly scheduler: string;
  readonly steps: number;
  readonly eta: number;
  readonly guidanceScale: number;
  readonly classId: number | null;
  readonly length: number | null;
}

/** The bank of plain sequences that steered ones are compared with. @param className of the class, for people; empty for none. */
export function sequenceIdentity(
  of: Of & { readonly className: string; readonly settings: SequenceBankSettings },
): BankIdentity {
  const { scheduler, steps, eta, guidanceScale, classId, length } = of.settings;
  return {
    kind: 'sequence',
    model: of.model,
    adapters: [...of.adapters],
    prompts: [of.className],
    settings: { scheduler, steps, eta, guidanceScale, classId, length },
    seed: BANK_SEED,
    provider: of.provider,
  };
}
