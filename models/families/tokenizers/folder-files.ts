import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';

/** The largest vocabularies in use take some 35 MB. */
const LARGEST_BYTES = 128 * 2 ** 20;

const COPY_AGAIN = 'Copy the tokenizer folder again from where the model came from.';

/** @throws {NorthlightError} `tokenizer/missing-file`, `tokenizer/too-large`, `tokenizer/unreadable` */
export function readBytes(path: string): Uint8Array {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) {
    throw new NorthlightError(
      'tokenizer/missing-file',
      `The tokenizer in ${dirname(path)} lacks ${basename(path)}.`,
      'Copy the whole tokenizer folder: tokenizer.json, or vocab.json with merges.txt, or spiece.model.',
    );
  }
  if (stat.size > LARGEST_BYTES) {
    throw new NorthlightError(
      'tokenizer/too-large',
      `${path} has ${Math.round(stat.size / 2 ** 20)} MB; no vocabulary is that large.`,
      COPY_AGAIN,
    );
  }
  try {
    return readFileSync(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new NorthlightError('tokenizer/unreadable', `${path} cannot be read: ${why}`, COPY_AGAIN);
  }
}

export const readText = (path: string): string => new TextDecoder().decode(readBytes(path));

/** @throws {NorthlightError} `tokenizer/bad-json` naming the file and the first key that is wrong. */
export function readJson<T extends z.ZodType>(path: string, schema: T): z.output<T> {
  const text = readText(path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badJson(path, error instanceof Error ? error.message : String(error));
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw badJson(path, `${issue.path.join('.') || 'the whole file'}: ${issue.message}`);
}

export const badJson = (path: string, what: string): NorthlightError =>
  new NorthlightError('tokenizer/bad-json', `${path} is not what a tokenizer's file should be: ${what}.`, COPY_AGAIN);

/** A special token is written as its text, or as an object around it. */
const special = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform((token) => token.content)])
  .nullish()
  .transform((token) => token ?? undefined);

const settingsSchema = z.looseObject({
  tokenizer_class: z.string().nullish(),
  model_max_length: z.number().nullish(),
  bos_token: special,
  eos_token: special,
  pad_token: special,
  unk_token: special,
});

/** `tokenizer_config.json` with `special_tokens_map.json`; other keys are kept as they are. */
export type TokenizerSettings = z.output<typeof settingsSchema>;

/**
 * Settings of a tokenizer folder, empty where it has none. As in transformers, the map of special tokens goes before the
 * configuration unless the configuration lists its tokens itself (`added_tokens_decoder`).
 * @throws {NorthlightError} `tokenizer/bad-json`
 */
export function readSettings(folder: string): TokenizerSettings {
  const optional = (name: string): TokenizerSettings => {
    const path = join(folder, name);
    return existsSync(path) ? readJson(path, settingsSchema) : settingsSchema.parse({});
  };
  const [config, map] = [optional('tokenizer_config.json'), optional('special_tokens_map.json')];
  const [first, second] = 'added_tokens_decoder' in config ? [config, map] : [map, config];
  return {
    ...second,
    ...first,
    bos_token: first.bos_token ?? second.bos_token,
    eos_token: first.eos_token ?? second.eos_token,
    pad_token: first.pad_token ?? second.pad_token,
    unk_token: first.unk_token ?? second.unk_token,
  };
}
