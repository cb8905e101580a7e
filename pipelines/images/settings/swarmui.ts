import { asCount, asList, asNumber, asRecord, asText, MAX_LORAS, otherTexts, parseObject } from './bounds.ts';
import { guidanceOf } from './guidance.ts';
import { readSampler } from './sampler-names.ts';
import type { PictureSettings, UsedLora } from './types.ts';

const UNDERSTOOD = new Set(
  (
    'prompt negativeprompt steps sampler scheduler comfyuisampler comfyuischeduler autowebuisampler cfgscale fluxguidancescale ' +
    'seed width height model loras loraweights initimagecreativity'
  ).split(' '),
);

/** SwarmUI's text: JSON with `sui_image_params`, and hashes of models in `sui_models`. Null when it is none. */
export function swarmSettings(text: string): PictureSettings | null {
  const whole = parseObject(text);
  const params = asRecord(whole?.sui_image_params);
  if (params === null) return null;
  const hashes = new Map<string, string>();
  for (const item of asList(whole?.sui_models)) {
    const { name, param, hash } = asRecord(item) ?? {};
    if (typeof hash === 'string') hashes.set(`${param}:${withoutEnding(String(name))}`, hash.replace(/^0x/, ''));
  }
  const model = asText(params.model);
  const stop = asNumber(params.clipstopatlayer);
  return {
    source: 'swarmui',
    prompt: asText(params.prompt) ?? '',
    negativePrompt: asText(params.negativeprompt) ?? '',
    steps: asCount(params.steps),
    // Earlier versions name the backend with it.
    ...readSampler(
      asText(params.sampler ?? params.comfyuisampler ?? params.autowebuisampler),
      asText(params.scheduler ?? params.comfyuischeduler),
    ),
    guidanceScale: guidanceOf(asNumber(params.cfgscale), asNumber(params.fluxguidancescale)),
    seed: asCount(params.seed),
    width: asCount(params.width),
    height: asCount(params.height),
    modelName: model,
    modelHash: (model === null ? undefined : hashes.get(`model:${withoutEnding(model)}`)) ?? null,
    loras: lorasOf(params, hashes),
    clipSkip: stop !== null && stop < 0 ? -stop : null,
    denoising: asNumber(params.initimagecreativity),
    other: otherTexts(Object.entries(params).filter(([key]) => !UNDERSTOOD.has(key))),
    own: null,
  };
}

/** Lists, or texts with commas in older versions. */
const listOf = (value: unknown): unknown[] => (typeof value === 'string' ? value.split(',') : asList(value));

function lorasOf(params: Record<string, unknown>, hashes: ReadonlyMap<string, string>): UsedLora[] {
  const weights = listOf(params.loraweights);
  return listOf(params.loras)
    .slice(0, MAX_LORAS)
    .map((name, i) => ({
      name: String(name).trim(),
      weight: asNumber(typeof weights[i] === 'string' ? weights[i].trim() : weights[i]) ?? 1,
      hash: hashes.get(`loras:${withoutEnding(String(name).trim())}`) ?? null,
    }))
    .filter((lora) => lora.name !== '');
}

const withoutEnding = (name: string) => name.replace(/\.safetensors$/, '');
