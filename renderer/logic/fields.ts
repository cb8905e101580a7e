import type { Field } from '#pipelines/engine/contract.ts';

export type FieldValue = number | string | boolean | null;

/** Written otherwise than words are. */
const SPELT: Readonly<Record<string, string>> = { gc: 'GC', cpg: 'CpG', jpeg: 'JPEG' };

/** "learningRate" → "Learning rate". What stands behind a colon is a name, and stays as it is. */
export function fieldLabel(text: string): string {
  const colon = text.indexOf(': ');
  const key = colon < 0 ? text : text.slice(0, colon);
  const words = key
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/[-_]/g, ' ')
    .split(' ')
    // Abbreviations keep their capitals.
    .map((word) => SPELT[word.toLowerCase()] ?? (/^[A-Z]{2,}$/.test(word) ? word : word.toLowerCase()));
  const joined = words.join(' ');
  return joined.charAt(0).toUpperCase() + joined.slice(1) + text.slice(key.length);
}

/** A reward in a list: several that steered together are "Together (krc)". */
export function rewardName(name: string): string {
  const together = /^(sum|krc|worst|lexicographic)\(.*\)$/.exec(name);
  return together ? `Together (${together[1]})` : name;
}

/** The same as a heading. */
export const rewardTitle = (name: string): string => (rewardName(name) === name ? fieldLabel(name) : rewardName(name));

/** What people change first, in this order; everything else is folded away as advanced. */
const BASIC = ['steps', 'epochs', 'updates', 'learningRate', 'beta', 'rank', 'batchSize', 'seed'];

export function splitFields(fields: readonly Field[]): { basic: Field[]; advanced: Field[] } {
  const place = (field: Field) => BASIC.indexOf(field.key);
  const basic = fields.filter((field) => place(field) >= 0).sort((a, b) => place(a) - place(b));
  const advanced = fields.filter((field) => place(field) < 0);
  // An algorithm with none of the usual names still shows something.
  return basic.length > 0 ? { basic, advanced } : { basic: advanced.slice(0, 4), advanced: advanced.slice(4) };
}

/** What is wrong with a value, in words, or null. The engine checks again. */
export function fieldProblem(field: Field, value: FieldValue): string | null {
  if (field.type !== 'integer' && field.type !== 'number') return null;
  // An optional number may be left empty.
  if (value === null) return field.default === null ? null : 'Enter a number.';
  if (typeof value !== 'number' || !Number.isFinite(value)) return 'Enter a number.';
  if (field.type === 'integer' && !Number.isInteger(value)) return 'Enter a whole number.';
  if (field.minimum !== null && value < field.minimum) return `At least ${field.minimum}.`;
  if (field.maximum !== null && value > field.maximum) return `At most ${field.maximum}.`;
  return null;
}

/** Only what departs from the defaults: the engine fills in the rest, so a run's config says what was chosen. */
export function changedConfig(
  fields: readonly Field[],
  values: Readonly<Record<string, FieldValue>>,
): Record<string, FieldValue> {
  const changed: Record<string, FieldValue> = {};
  for (const field of fields) {
    const value = values[field.key];
    if (value !== undefined && value !== field.default) changed[field.key] = value;
  }
  return changed;
}
