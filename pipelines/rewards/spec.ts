import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';

/** A reward as a person writes it: what it is, and how much it weighs among others. */
export interface RewardSpec {
  readonly spec: string;
  readonly weight: number;
}

/** `SPEC` or `SPEC@WEIGHT`; the weight is 1 where none is given. A number after the last `@` is always a weight. */
export function parseRewardSpec(text: string): RewardSpec {
  const match = /^(.+)@([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)$/is.exec(text.trim());
  return match === null ? { spec: text.trim(), weight: 1 } : { spec: match[1]!, weight: Number(match[2]) };
}

/** What {@link parseRewardSpec} reads as this: a reward and how much it weighs. */
export const formatRewardSpec = ({ spec, weight }: RewardSpec): string =>
  weight === 1 && parseRewardSpec(spec).spec === spec ? spec : `${spec}@${weight}`;

/** What `parseOptions` needs to know of a reward. */
export interface HasOptions {
  readonly name: string;
  readonly options: z.ZodObject;
  readonly positional?: string;
}

/**
 * Options of `name:key=value,…`; one part without a key is the reward's positional option.
 * @throws {NorthlightError} `reward/option`.
 */
export function parseOptions(reward: HasOptions, text: string): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  for (const part of text === '' ? [] : text.split(',')) {
    const equals = part.indexOf('=');
    const key = equals < 0 ? reward.positional : part.slice(0, equals).trim();
    if (key === undefined) throw refuse(reward, `"${part}" is not key=value`);
    given[key] = equals < 0 ? part : part.slice(equals + 1);
  }
  return checkOptions(reward, given);
}

/** @throws {NorthlightError} `reward/option` naming the option. */
export function checkOptions(reward: HasOptions, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const parsed = z.safeParse(reward.options, given);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw refuse(reward, `${issue.path.join('.') || 'options'}: ${issue.message}`);
}

function refuse({ name, options }: HasOptions, why: string): NorthlightError {
  const known = Object.keys(options.shape);
  return new NorthlightError(
    'reward/option',
    `Reward "${name}": ${why}.`,
    known.length === 0 ? 'It has no options.' : `Its options are ${known.map((k) => `${k}=…`).join(', ')}.`,
  );
}
