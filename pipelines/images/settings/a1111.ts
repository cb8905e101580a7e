import { asCount, asNumber, MAX_LORAS, MAX_PROMPT, otherTexts } from './bounds.ts';
import { guidanceOf } from './guidance.ts';
import { taggedLoras } from './lora-tags.ts';
import { readSampler } from './sampler-names.ts';
import type { PictureSettings, UsedLora } from './types.ts';

/**
 * The `parameters` text of AUTOMATIC1111's web UI, which most programs can read:
 *
 * 1. lines until the first that starts with `Negative prompt:` are the prompt;
 * 2. from there until the last line: the negative prompt;
 * 3. the last line holds the settings, if at least three `Key: value` pairs are found in it; else it is prompt too;
 * 4. a pair: key (word characters, spaces, `-`, `/`), colon, value (a JSON string, or anything without a comma), comma or end;
 * 5. a value with a comma, a newline or a colon is written as a JSON string.
 */

const NEGATIVE = 'Negative prompt:';

export interface A1111Text {
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly pairs: ReadonlyMap<string, string>;
}

/** One `Key: value` of the last line. A key equal to its value stands alone. */
export function a1111Pair(key: string, value: string): string {
  if (key === value) return key;
  // Quotes and spaces at the ends would be lost as well, so they are quoted too.
  return `${key}: ${/[,\n:\\]|^[\s"]|[\s"]$/.test(value) ? JSON.stringify(value) : value}`;
}

export function writeA1111(text: A1111Text): string {
  const lines = text.prompt === '' ? [] : [text.prompt];
  if (text.negativePrompt !== '') lines.push(`${NEGATIVE} ${text.negativePrompt}`);
  lines.push([...text.pairs].map(([key, value]) => a1111Pair(key, value)).join(', '));
  return lines.join('\n');
}

/** Null when there are no settings in it: any text would be a prompt. */
export function parseA1111(text: string): A1111Text | null {
  const lines = text.replaceAll('\r\n', '\n').trim().split('\n');
  const pairs = a1111Pairs(lines.at(-1) ?? '');
  if (pairs.size < 3) return null;
  lines.pop();
  const negative = lines.findIndex((line) => line.startsWith(NEGATIVE));
  const positive = negative < 0 ? lines : lines.slice(0, negative);
  const rest = negative < 0 ? [] : [lines[negative]!.slice(NEGATIVE.length).trimStart(), ...lines.slice(negative + 1)];
  return { prompt: positive.join('\n'), negativePrompt: rest.join('\n'), pairs };
}

const KEY = /[\p{L}\p{N}_][\p{L}\p{N}_ \-/]+$/u;
const QUOTED = /"(?:\\.|[^\\"])+"(?=,|$)/y;
const MAX_LINE = 200_000;

/**
 * The pairs of a line, as `\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)` finds them, but from colon to colon: the
 * expression itself would try every start of a long run of letters.
 */
export function a1111Pairs(line: string): Map<string, string> {
  const pairs = new Map<string, string>();
  if (line.length > MAX_LINE) return pairs;
  let from = 0;
  for (let colon = line.indexOf(':'); colon >= 0; colon = line.indexOf(':', from)) {
    // Keys are short: a longer run is prose.
    const key = KEY.exec(line.slice(Math.max(from, colon - 100), colon))?.[0];
    if (key === undefined) {
      from = colon + 1;
      continue;
    }
    let start = colon + 1;
    while (/\s/.test(line.charAt(start))) start++;
    QUOTED.lastIndex = start;
    const quoted = QUOTED.exec(line)?.[0];
    const comma = line.indexOf(',', start);
    const value = quoted ?? line.slice(start, comma < 0 ? undefined : comma);
    pairs.set(key.trimEnd(), unquote(value));
    from = start + value.length + 1;
  }
  return pairs;
}

function unquote(text: string): string {
  if (!text.startsWith('"') || !text.endsWith('"')) return text;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : text;
  } catch {
    return text;
  }
}

/** `name: hash, name: hash` */
function namedList(text: string | undefined): Map<string, string> {
  const items = (text ?? '').split(',').map((item) => {
    const at = item.lastIndexOf(':');
    return at < 0 ? null : ([item.slice(0, at).trim(), item.slice(at + 1).trim()] as const);
  });
  return new Map(items.filter((item) => item !== null).slice(0, MAX_LORAS));
}

const UNDERSTOOD = new Set([
  'Steps',
  'Sampler',
  'Schedule type',
  'CFG scale',
  'Seed',
  'Size',
  'Model',
  'Model hash',
  'Clip skip',
  'Denoising strength',
  'Lora hashes',
  'Lora weights',
]);

/** Settings from a `parameters` text; null when it is none. */
export function a1111Settings(text: string): PictureSettings | null {
  const parsed = parseA1111(text);
  if (parsed === null || parsed.prompt.length > MAX_PROMPT || parsed.negativePrompt.length > MAX_PROMPT) return null;
  const { prompt, negativePrompt, pairs } = parsed;
  const [, width, height] = /^(\d+)x(\d+)$/.exec(pairs.get('Size') ?? '') ?? [];
  const hashes = namedList(pairs.get('Lora hashes'));
  const weights = namedList(pairs.get('Lora weights'));
  const tagged = taggedLoras(prompt).map((lora) => ({ ...lora, hash: hashes.get(lora.name) ?? null }));
  const untagged: UsedLora[] = [...hashes]
    .filter(([name]) => !tagged.some((lora) => lora.name === name))
    .map(([name, hash]) => ({ name, weight: asNumber(weights.get(name)) ?? 1, hash }));
  const scheduleType = pairs.get('Schedule type');
  // With the high-resolution fix it is the strength of the second pass over a picture made from noise alone.
  const enlarged = pairs.has('Hires upscale') || pairs.has('Hires resize');
  return {
    source: 'a1111',
    prompt,
    negativePrompt,
    steps: asCount(pairs.get('Steps')),
    ...readSampler(pairs.get('Sampler') ?? null, scheduleType === 'Automatic' ? null : (scheduleType ?? null)),
    // Forge writes both for Flux.
    guidanceScale: guidanceOf(asNumber(pairs.get('CFG scale')), asNumber(pairs.get('Distilled CFG Scale'))),
    seed: asCount(pairs.get('Seed')),
    width: asCount(width),
    height: asCount(height),
    modelName: pairs.get('Model') ?? null,
    modelHash: pairs.get('Model hash') ?? null,
    loras: [...tagged, ...untagged],
    clipSkip: asCount(pairs.get('Clip skip')),
    denoising: enlarged ? null : asNumber(pairs.get('Denoising strength')),
    other: otherTexts([...pairs].filter(([key]) => !UNDERSTOOD.has(key) || (enlarged && key === 'Denoising strength'))),
    own: null,
  };
}
