import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { Field } from './contract.ts';

type JsonSchema = z.core.JSONSchema.BaseSchema;

/**
 * The fields of an algorithm's settings for a form, in the schema's order: type, range, choices and default are read from
 * the schema itself, the help text from `.describe()`. A field with no default is null; a nullable one may stay null.
 * @throws NorthlightError `field/unsupported` for a type no form can show.
 */
export function fieldsOf(schema: z.ZodObject): Field[] {
  const properties = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }).properties ?? {};
  return Object.entries(properties).map(([key, property]) => fieldOf(key, property as JsonSchema));
}

function fieldOf(key: string, property: JsonSchema): Field {
  const inner = withoutNull(property);
  const choices = choicesOf(inner);
  const type = choices ? 'choice' : typeOf(key, inner);
  const fallback = property.default ?? null;
  return {
    key,
    type,
    default: ['number', 'string', 'boolean'].includes(typeof fallback) ? (fallback as number | string | boolean) : null,
    minimum: limit(inner.minimum ?? inner.exclusiveMinimum, Number.MIN_SAFE_INTEGER),
    maximum: limit(inner.maximum ?? inner.exclusiveMaximum, Number.MAX_SAFE_INTEGER),
    choices: choices ?? [],
    description: property.description ?? inner.description ?? '',
  };
}

/** `x | null` is x. */
function withoutNull(property: JsonSchema): JsonSchema {
  const options = (property.anyOf ?? []).filter((option) => (option as JsonSchema).type !== 'null');
  return options.length === 1 ? (options[0] as JsonSchema) : property;
}

function choicesOf(property: JsonSchema): string[] | null {
  if (property.enum) return property.enum.map(String);
  if (property.const !== undefined) return [String(property.const)];
  const constants = property.anyOf?.map((option) => (option as JsonSchema).const);
  return constants?.every((value) => value !== undefined) ? constants.map(String) : null;
}

function typeOf(key: string, property: JsonSchema): Field['type'] {
  const { type } = property;
  if (type === 'integer' || type === 'number' || type === 'boolean' || type === 'string') return type;
  throw new NorthlightError(
    'field/unsupported',
    `The setting "${key}" has a type that no form can show.`,
    'Use numbers, text, booleans or an enumeration in the schema.',
  );
}

/** `z.int()` brings the safe-integer limits along, which say nothing. */
function limit(value: unknown, meaningless: number): number | null {
  return typeof value === 'number' && Number.isFinite(value) && value !== meaningless ? value : null;
}
