import { MAX_LORAS, MAX_PROMPT } from './bounds.ts';
import type { UsedLora } from './types.ts';

/** `<lora:name:weight>`, also with a second weight for the text encoder, which is left out. */
const TAG = /<lora:([^:<>\n]{1,200})(?::(-?\d*\.?\d+))?(?::[^<>\n]{0,100})?>/g;

/** Adapters named in a prompt, as A1111 writes them. */
export const taggedLoras = (prompt: string): UsedLora[] =>
  [...prompt.slice(0, MAX_PROMPT).matchAll(TAG)]
    .slice(0, MAX_LORAS)
    .map((match) => ({ name: match[1]!, weight: match[2] === undefined ? 1 : Number(match[2]), hash: null }));

export const withoutLoraTags = (prompt: string): string => prompt.replace(TAG, '').trim();
