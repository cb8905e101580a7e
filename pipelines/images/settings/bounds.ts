import { z } from 'zod';

/** Bounds of what is taken from a file into a form: longer texts are left out, lists are cut. */

export const MAX_PROMPT = 100_000;
const MAX_VALUE = 10_000;
const MAX_KEYS = 200;
export const MAX_LORAS = 64;

/** Of outside JSON: what is not as expected is undefined, never an error, for programs change their files. */
const tolerant = <T extends z.ZodType>(type: T) => type.optional().catch(undefined);

export const maybeText = tolerant(z.string().max(MAX_PROMPT));
export const maybeNumber = tolerant(
  z.union([
    z.number(),
    z
      .string()
      .regex(/^-?\d{1,20}(\.\d{1,25})?(e[+-]?\d{1,3})?$/i)
      .transform(Number),
  ]),
);
export const maybeRecord = tolerant(z.record(z.string(), z.unknown()));
export const maybeList = tolerant(z.array(z.unknown()).max(10_000));

export const asText = (value: unknown): string | null => maybeText.parse(value) ?? null;
export const asNumber = (value: unknown): number | null => maybeNumber.parse(value) ?? null;
export const asRecord = (value: unknown): Record<string, unknown> | null => maybeRecord.parse(value) ?? null;
export const asList = (value: unknown): unknown[] => maybeList.parse(value) ?? [];

/** A count: a whole number, 0 or more, that a double holds exactly. */
export function asCount(value: unknown): number | null {
  const n = asNumber(value);
  return n !== null && Number.isSafeInteger(n) && n >= 0 ? n : null;
}

/** Entries as short texts: those of the rest of a JSON object that a person may want to see. */
export function otherTexts(entries: Iterable<readonly [string, unknown]>): Record<string, string> {
  const kept: [string, string][] = [];
  for (const [key, value] of entries) {
    if (kept.length >= MAX_KEYS) break;
    if (value === null || value === undefined || key.length > MAX_KEYS) continue;
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    if (text.length <= MAX_VALUE) kept.push([key, text]);
  }
  return Object.fromEntries(kept);
}

/** JSON text as an object; null when it is none. Integers too long for a double, as seeds of 64 bits are, become text. */
export function parseObject(text: string): Record<string, unknown> | null {
  if (!text.trimStart().startsWith('{')) return null;
  try {
    return asRecord(JSON.parse(text.replace(/("(?:noise_)?seed"\s*:\s*)(\d{16,20})(?=\s*[,}])/g, '$1"$2"')));
  } catch {
    return null;
  }
}
