import { asCount, asList, asNumber, asRecord, asText, MAX_LORAS, otherTexts, parseObject } from './bounds.ts';
import { guidanceOf } from './guidance.ts';
import { readSampler } from './sampler-names.ts';
import type { PictureSettings, UsedLora } from './types.ts';

const UNDERSTOOD = new Set(
  'positive_prompt negative_prompt steps scheduler cfg_scale guidance seed width height model loras clip_skip strength'.split(
    ' ',
  ),
);

/**
 * InvokeAI's `invokeai_metadata`; where that is absent, the same fields in the `core_metadata` node of `invokeai_graph`.
 * Null when there is neither.
 */
export function invokeSettings(metadata: string | undefined, graph: string | undefined): PictureSettings | null {
  const m = (metadata === undefined ? null : parseObject(metadata)) ?? (graph === undefined ? null : coreNode(graph));
  if (m === null || (m.positive_prompt === undefined && m.model === undefined && m.seed === undefined)) return null;
  const skip = asCount(m.clip_skip);
  return {
    source: 'invokeai',
    prompt: asText(m.positive_prompt) ?? '',
    negativePrompt: asText(m.negative_prompt) ?? '',
    steps: asCount(m.steps),
    ...readSampler(asText(m.scheduler)),
    guidanceScale: guidanceOf(asNumber(m.cfg_scale), asNumber(m.guidance)),
    seed: asCount(m.seed),
    width: asCount(m.width),
    height: asCount(m.height),
    modelName: nameOf(m.model),
    modelHash: hashOf(m.model),
    loras: asList(m.loras).slice(0, MAX_LORAS).flatMap(loraOf),
    // Invoke counts the layers that are left out.
    clipSkip: skip === null ? null : skip + 1,
    denoising: asNumber(m.strength),
    other: otherTexts(Object.entries(m).filter(([key]) => !UNDERSTOOD.has(key))),
    own: null,
  };
}

function coreNode(graph: string): Record<string, unknown> | null {
  for (const node of Object.values(asRecord(parseObject(graph)?.nodes) ?? {})) {
    const found = asRecord(node);
    if (found?.type === 'core_metadata') return found;
  }
  return null;
}

function nameOf(model: unknown): string | null {
  const record = asRecord(model);
  return record === null ? asText(model) : asText(record.name ?? record.model_name);
}

/** `blake3:…` and other functions stay with their name: only a bare SHA-256 can be compared with ours. */
const hashOf = (model: unknown): string | null => asText(asRecord(model)?.hash)?.replace(/^sha256:/, '') ?? null;

function loraOf(item: unknown): UsedLora[] {
  const record = asRecord(item);
  const model = record?.model ?? record?.lora;
  const name = nameOf(model);
  return name === null ? [] : [{ name, weight: asNumber(record?.weight) ?? 1, hash: hashOf(model) }];
}
