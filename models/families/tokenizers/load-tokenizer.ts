import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { NorthlightError } from '#models/errors.ts';
import { charsMap } from './chars-map.ts';
import { clipJson, WORD_END } from './clip-bpe.ts';
import { badJson, readJson, readSettings, type TokenizerSettings } from './folder-files.ts';
import type { PromptTokenizer } from './prompt-tokenizer.ts';
import { sentencePieceJson } from './sentence-piece.ts';
import { withTimeLimit } from './time-limit.ts';
import { type TokenizerJson, tokenizerJson } from './tokenizer-json.ts';

/** Beyond this a "largest length" is a way of saying that there is none. */
const NO_LENGTH = 1e6;

/** A prompt takes milliseconds. A pattern that backtracks without end would hold up whoever asks, the window's engine too. */
const LIMIT_MS = 2000;

/**
 * The tokenizer of a model folder: `tokenizer.json`, or `vocab.json` with `merges.txt` (CLIP), or `spiece.model` (T5), together
 * with `tokenizer_config.json` and `special_tokens_map.json` where they are. Nothing is fetched.
 * @throws {NorthlightError} `tokenizer/…` naming the file and what is wrong with it.
 */
export function loadTokenizer(folder: string): PromptTokenizer {
  const settings = readSettings(folder);
  const { path, json } = readDescription(folder, settings);
  const { pad_token: padding } = settings;
  if (padding !== undefined && `${padding}${WORD_END}` in json.model.vocab) {
    // OpenCLIP pads with "!". As a special token it would stand for every "!" of a prompt, which the model never saw.
    json.added_tokens = json.added_tokens.filter((token) => token.content !== padding);
  }
  const normalise = takeCharsMap(json, path);
  const limited = limiterFor(path);
  const tokenizer = build(json, settings, path, limited);
  const idOf = (token: string): number => {
    const id = tokenizer.token_to_id(token);
    if (id === undefined) throw badJson(path, `the special token ${token} is not in the vocabulary`);
    return id;
  };
  const [bos, eos] = framing(tokenizer).map((token) => (token === null ? null : idOf(token))) as [
    number | null,
    number | null,
  ];
  const pad = padding === undefined ? (json.padding?.pad_id ?? eos) : tokenizer.token_to_id(padding);
  if (pad === undefined || pad === null) {
    throw new NorthlightError(
      'tokenizer/no-padding',
      `The tokenizer in ${folder} has no padding token.`,
      'Add "pad_token" to tokenizer_config.json.',
    );
  }
  const longest = settings.model_max_length;
  return {
    encode(text) {
      const words = normalise(text.toWellFormed());
      const { ids, tokens } = limited(() => tokenizer.encode(words, { add_special_tokens: false }));
      const unknown = (ids as (number | undefined)[]).indexOf(undefined);
      if (unknown >= 0) {
        throw new NorthlightError(
          'tokenizer/no-unknown',
          `The tokenizer in ${folder} has no token for "${tokens[unknown]}" and none for what it does not know.`,
          'Add "unk_token" to tokenizer_config.json, or leave this out of the prompt.',
        );
      }
      return ids;
    },
    bos,
    eos,
    pad,
    comma: tokenizer.token_to_id(`,${WORD_END}`) ?? tokenizer.token_to_id(',') ?? null,
    maxLength: longest && longest > 0 && longest < NO_LENGTH ? longest : Number.POSITIVE_INFINITY,
  };
}

function readDescription(folder: string, settings: TokenizerSettings): { path: string; json: TokenizerJson } {
  const has = (name: string) => existsSync(join(folder, name));
  if (!has('tokenizer.json')) {
    if (has('vocab.json')) return { path: join(folder, 'vocab.json'), json: clipJson(folder, settings) };
    const model = ['spiece.model', 'sentencepiece.bpe.model', 'tokenizer.model'].find(has);
    if (model) return { path: join(folder, model), json: sentencePieceJson(join(folder, model), settings) };
  }
  const path = join(folder, 'tokenizer.json');
  return { path, json: readJson(path, tokenizerJson) };
}

type Limiter = <T>(work: () => T) => T;

/** Patterns that come from a file are matched under a time limit, and not again once one has exceeded it; ours need none. */
function limiterFor(path: string): Limiter {
  if (basename(path) !== 'tokenizer.json') return (work) => work();
  const tooLong = () =>
    new NorthlightError(
      'tokenizer/too-slow',
      `A pattern in ${path} takes more than ${LIMIT_MS / 1000} seconds for a text, so the tokenizer is not used.`,
      'Copy the tokenizer folder again from where the model came from.',
    );
  let exceeded = false;
  return (work) => {
    if (exceeded) throw tooLong();
    return withTimeLimit(LIMIT_MS, work, () => {
      exceeded = true;
      return tooLong();
    });
  };
}

/** The library's own errors are about its code; ours say which file to look at. */
function build(json: TokenizerJson, settings: TokenizerSettings, path: string, limited: Limiter): Tokenizer {
  const unknown = json.model.unk_token ?? settings.unk_token;
  try {
    const tokenizer = new Tokenizer(json, { ...settings, ...(unknown ? { unk_token: unknown } : {}) });
    // Some of what a step lacks shows only when it works.
    limited(() => tokenizer.encode('A word, 1!'));
    return tokenizer;
  } catch (error) {
    if (error instanceof NorthlightError) throw error;
    throw badJson(path, error instanceof Error ? error.message : String(error));
  }
}

/** What the tokenizer puts before and after the words. */
function framing(tokenizer: Tokenizer): [string | null, string | null] {
  const words = '\u0000';
  const framed = tokenizer.post_processor?.post_process([words], null, true).tokens ?? [words];
  const at = framed.indexOf(words);
  if (at > 1 || framed.length - at > 2 || at < 0) {
    throw new NorthlightError(
      'tokenizer/unsupported',
      `The tokenizer puts ${framed.length - 1} special tokens around a text; one before and one after are supported.`,
      'Choose a model whose text encoder is CLIP or T5.',
    );
  }
  return [at === 1 ? framed[0]! : null, framed[at + 1] ?? null];
}

/**
 * Takes SentencePiece's compiled normalisation, where it comes first, out of the description: the library has only an
 * approximation of it. Gives the function to call before the library.
 */
function takeCharsMap(json: TokenizerJson, path: string): (text: string) => string {
  const steps =
    json.normalizer?.type === 'Sequence' ? (json.normalizer.normalizers as Step[]) : [json.normalizer as Step];
  const [first, ...rest] = Array.isArray(steps) ? steps : [];
  if (first?.type !== 'Precompiled') return (text) => text;
  json.normalizer = rest.length > 0 ? { type: 'Sequence', normalizers: rest } : null;
  const map = first.precompiled_charsmap;
  if (typeof map !== 'string' && map !== undefined && map !== null)
    throw badJson(path, 'its normalisation is not text');
  return charsMap(Buffer.from(map ?? '', 'base64'), path);
}

interface Step {
  readonly type?: unknown;
  readonly precompiled_charsmap?: unknown;
}
