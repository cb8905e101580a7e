import { asCount, asList, asNumber, asRecord, asText, MAX_LORAS, otherTexts, parseObject } from './bounds.ts';
import { readSampler } from './sampler-names.ts';
import type { PictureSettings } from './types.ts';

const UNDERSTOOD = new Set('c uc steps sampler scale seed size model lora strength'.split(' '));

/** Draw Things' JSON in the user comment of XMP. Null when it is none. */
export function drawThingsSettings(comment: string): PictureSettings | null {
  const m = parseObject(comment);
  if (m === null || typeof m.c !== 'string') return null;
  const [, width, height] = /^(\d+)x(\d+)$/.exec(asText(m.size) ?? '') ?? [];
  const strength = asNumber(m.strength);
  return {
    source: 'draw-things',
    prompt: asText(m.c) ?? '',
    negativePrompt: asText(m.uc) ?? '',
    steps: asCount(m.steps),
    ...readSampler(asText(m.sampler)),
    guidanceScale: asNumber(m.scale),
    seed: asCount(m.seed),
    width: asCount(width),
    height: asCount(height),
    modelName: asText(m.model),
    modelHash: null,
    loras: asList(m.lora)
      .slice(0, MAX_LORAS)
      .map((item) => asRecord(item) ?? {})
      .map((lora) => ({ name: asText(lora.model ?? lora.file) ?? '', weight: asNumber(lora.weight) ?? 1, hash: null }))
      .filter((lora) => lora.name !== ''),
    clipSkip: asCount(asRecord(m.v2)?.clipSkip),
    // Always there: 1 is from noise alone.
    denoising: strength === 1 ? null : strength,
    other: otherTexts(Object.entries(m).filter(([key]) => !UNDERSTOOD.has(key))),
    own: null,
  };
}
