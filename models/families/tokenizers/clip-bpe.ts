import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { badJson, readJson, readText, type TokenizerSettings } from './folder-files.ts';
import { isIdTable, type TokenizerJson } from './tokenizer-json.ts';

const OPENING = '<|startoftext|>';
const CLOSING = '<|endoftext|>';

/** Ends the last piece of a word. */
export const WORD_END = '</w>';

/** Words, single digits and runs of other signs (Radford et al. 2021, arXiv:2103.00020; the pattern of its tokenizer). */
const WORDS = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";

/**
 * CLIP's tokenizer from `vocab.json` and `merges.txt`: byte pairs within lower-case words, the last piece of a word marked.
 * What the original does before, mending of broken encodings and of HTML entities, is left out, as in transformers' fast one.
 * @throws {NorthlightError} `tokenizer/…` when a file is missing or broken, or belongs to another kind of tokenizer.
 */
export function clipJson(folder: string, settings: TokenizerSettings): TokenizerJson {
  const path = join(folder, 'vocab.json');
  const vocab = readJson(path, z.custom<Record<string, number>>(isIdTable, 'it must give a whole number per piece'));
  if (!Object.keys(vocab).some((piece) => piece.endsWith(WORD_END))) {
    throw new NorthlightError(
      'tokenizer/unknown-kind',
      `${path} is not the vocabulary of a CLIP tokenizer: no piece ends a word (${WORD_END}).`,
      'Add the tokenizer.json of this model to the folder.',
    );
  }
  const opening = settings.bos_token ?? OPENING;
  const closing = settings.eos_token ?? CLOSING;
  const special = [...new Set([opening, closing])].map((content) => {
    const id = vocab[content];
    if (id === undefined) throw badJson(path, `it lacks ${content}`);
    return { id, content, special: true, normalized: false };
  });
  const idOf = (content: string) => special.find((token) => token.content === content)!.id;
  return {
    added_tokens: special,
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: WORDS }, behavior: 'Removed', invert: true },
        { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
      ],
    },
    post_processor: { type: 'RobertaProcessing', cls: [opening, idOf(opening)], sep: [closing, idOf(closing)] },
    decoder: null,
    model: {
      type: 'BPE',
      vocab,
      merges: readMerges(join(folder, 'merges.txt')),
      unk_token: settings.unk_token ?? closing,
      end_of_word_suffix: WORD_END,
    },
  };
}

/** Pairs in the order in which they are merged. */
function readMerges(path: string): [string, string][] {
  const merges: [string, string][] = [];
  for (const [i, line] of readText(path).split(/\r?\n/).entries()) {
    if (line === '' || (i === 0 && line.startsWith('#version'))) continue;
    const [left, right, ...more] = line.split(' ');
    if (!left || !right || more.length > 0) throw badJson(path, `line ${i + 1} is not a pair of pieces`);
    merges.push([left, right]);
  }
  return merges;
}
