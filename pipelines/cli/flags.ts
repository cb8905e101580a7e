import { parseArgs } from 'node:util';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import { type Command, commonOptions } from './command.ts';

/** One field of a schema as the command line sees it. */
export interface Flag {
  readonly key: string;
  readonly flag: string;
  readonly type: 'boolean' | 'integer' | 'number' | 'string';
  readonly many: boolean;
  readonly required: boolean;
  readonly default: unknown;
  readonly choices: readonly string[];
  readonly minimum: number | undefined;
  readonly maximum: number | undefined;
  readonly description: string;
}

const jsonField = z.looseObject({
  type: z.union([z.string(), z.array(z.string())]).optional(),
  enum: z.array(z.unknown()).optional(),
  const: z.unknown().optional(),
  items: z.looseObject({ type: z.string().optional() }).optional(),
  anyOf: z.array(z.looseObject({ type: z.string().optional() })).optional(),
  default: z.unknown().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  description: z.string().optional(),
});

/** `guidanceScale` → `guidance-scale`. */
export const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The flags of an object schema, from its JSON Schema: types, defaults, ranges, choices and descriptions. */
export function flagsOf(schema: z.ZodObject): Flag[] {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const required = new Set(json.required ?? []);
  return Object.entries(json.properties ?? {}).map(([key, raw]) => {
    const field = jsonField.parse(raw);
    const types = [field.type, field.items?.type, ...(field.anyOf ?? []).map((option) => option.type)].flat();
    const type = (['boolean', 'integer', 'number'] as const).find((name) => types.includes(name)) ?? 'string';
    // JSON Schema gives every integer the range of exact integers; that says nothing to a person.
    const bound = (value: number | undefined) =>
      value === undefined || Math.abs(value) >= Number.MAX_SAFE_INTEGER ? undefined : value;
    return {
      key,
      flag: kebab(key),
      type,
      many: types.includes('array'),
      required: required.has(key),
      default: field.default,
      choices: (field.enum ?? []).map(String),
      minimum: bound(field.minimum),
      maximum: bound(field.maximum),
      description: field.description ?? '',
    };
  });
}

const usage = (message: string, hint = ''): NorthlightError => new NorthlightError('usage', message, hint);

/** Text from the command line as the value its field wants. Ranges and choices are left to the schema. */
function coerce(flag: Flag, text: string, where: string): unknown {
  if (flag.type === 'boolean') {
    if (['true', 'yes', 'on', '1'].includes(text)) return true;
    if (['false', 'no', 'off', '0'].includes(text)) return false;
    throw usage(`${where} is true or false, not "${text}".`);
  }
  if (flag.type === 'integer' || flag.type === 'number') {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (Number.isFinite(value)) return value;
    if (text === 'null') return null;
    throw usage(`${where} needs a number, not "${text}".`);
  }
  return text;
}

/** Parses with a schema; the first issue becomes one sentence that names the flag. */
function check<S extends z.ZodObject>(schema: S, values: unknown, nameOf: (key: string) => string): z.output<S> {
  const parsed = schema.safeParse(values);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const key = String(issue.path[0] ?? '');
  const given = (values as Record<string, unknown>)[key];
  if (given === undefined) throw usage(`${nameOf(key)} is missing.`, 'Add it; --help lists what is needed.');
  throw usage(`${nameOf(key)}: ${issue.message} (given: ${JSON.stringify(given)}).`, 'See --help for what is allowed.');
}

/** `--set key=value` pairs as the fields of `schema`. @throws NorthlightError `usage` for unknown keys and bad values. */
export function parseSettings(pairs: readonly string[], schema: z.ZodObject): Record<string, unknown> {
  const flags = new Map(flagsOf(schema).map((flag) => [flag.key, flag]));
  const values: Record<string, unknown> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) throw usage(`--set takes key=value, not "${pair}".`);
    const key = pair.slice(0, at);
    const flag = flags.get(key);
    if (flag === undefined) throw usage(`There is no setting "${key}".`, suggestion(key, [...flags.keys()]));
    values[key] = coerce(flag, pair.slice(at + 1), `--set ${key}`);
  }
  return check(schema, values, (key) => `--set ${key}`);
}

export interface Parsed {
  readonly options: Record<string, unknown>;
  readonly help: boolean;
  /** True even when the rest could not be parsed: decides how errors are written. */
  readonly json: boolean;
}

/**
 * The arguments after a command's name as its options. With `--help` nothing is checked, so that help can still be shaped by
 * what was given (`tune d3po --help`).
 * @throws NorthlightError `usage`: unknown flag (with the nearest known one), missing or impossible value.
 */
export async function parseCommandLine(command: Command, args: readonly string[]): Promise<Parsed> {
  const positionals = command.positionals ?? [];
  const all = [...flagsOf(command.options), ...flagsOf(commonOptions)];
  const flags = new Map(all.filter((flag) => !positionals.includes(flag.key)).map((flag) => [flag.flag, flag]));
  const known = [...flags.keys(), 'set', 'help'];
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      set: { type: 'string', multiple: true },
      ...Object.fromEntries(
        [...flags.values()].map((flag) => [
          flag.flag,
          { type: flag.type === 'boolean' ? ('boolean' as const) : ('string' as const), multiple: flag.many },
        ]),
      ),
    },
  });
  const help = tokens.some((token) => token.kind === 'option' && token.name === 'help');
  const json = tokens.some((token) => token.kind === 'option' && token.name === 'json');
  const values: Record<string, unknown> = {};
  const given: string[] = [];
  const set: string[] = [];
  try {
    for (const token of tokens) {
      if (token.kind === 'positional') given.push(token.value);
      if (token.kind !== 'option' || token.name === 'help') continue;
      const negated = token.name.startsWith('no-') && !flags.has(token.name);
      const name = negated ? token.name.slice(3) : token.name;
      const flag = flags.get(name);
      if (flag === undefined && name !== 'set') {
        throw usage(`There is no option ${token.rawName} in "${command.name}".`, suggestion(token.name, known, '--'));
      }
      if (flag?.type === 'boolean') {
        values[flag.key] = token.inlineValue === true ? coerce(flag, token.value, `--${name}`) : !negated;
        continue;
      }
      const value = token.value;
      const looksLikeFlag = token.inlineValue === false && /^-(?!\d|\.\d)./.test(value ?? '');
      if (negated || value === undefined || looksLikeFlag) {
        throw usage(
          `--${name} needs a value.`,
          looksLikeFlag ? `To give "${value}" itself, write --${name}=${value}.` : '',
        );
      }
      if (flag === undefined) set.push(value);
      else if (flag.many)
        values[flag.key] = [...((values[flag.key] as unknown[]) ?? []), coerce(flag, value, `--${name}`)];
      else if (flag.key in values) throw usage(`--${name} is given twice.`, 'Give it once.');
      else values[flag.key] = coerce(flag, value, `--${name}`);
    }
    placePositionals(command, all, given, values);
    if (help) return { options: { ...values, set: {} }, help, json };
    const label = (key: string) => (positionals.includes(key) ? key.toUpperCase() : `--${kebab(key)}`);
    const options = { ...check(commonOptions, values, label), ...check(command.options, values, label) };
    const settings = await command.settings?.(options);
    if (set.length > 0 && settings === undefined) throw usage(`"${command.name}" has nothing to --set.`);
    return { options: { ...options, set: settings === undefined ? {} : parseSettings(set, settings) }, help, json };
  } catch (error) {
    if (help) return { options: { ...values, set: {} }, help, json };
    throw error;
  }
}

function placePositionals(
  command: Command,
  all: readonly Flag[],
  given: string[],
  values: Record<string, unknown>,
): void {
  const positionals = command.positionals ?? [];
  let next = 0;
  for (const key of positionals) {
    const flag = all.find((candidate) => candidate.key === key)!;
    if (flag.many) {
      if (next < given.length) values[key] = given.slice(next).map((text) => coerce(flag, text, key.toUpperCase()));
      next = given.length;
    } else if (next < given.length) {
      values[key] = coerce(flag, given[next]!, key.toUpperCase());
      next++;
    }
  }
  if (next < given.length) {
    throw usage(
      `"${given[next]}" is more than "${command.name}" takes.`,
      positionals.length === 0
        ? 'It takes options only; see --help.'
        : `It takes ${positionals.join(', ').toUpperCase()}.`,
    );
  }
}
