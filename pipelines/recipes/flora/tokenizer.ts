import { captionWords, MAX_CAPTION_WORDS, VOCABULARY } from './captions.ts';

export const PAD = '[PAD]';
export const START = '[CLS]';
export const UNKNOWN = '[UNK]';

/** Token id by word; special tokens first. */
export const TOKENS: readonly string[] = [PAD, START, UNKNOWN, ...VOCABULARY];
export const TOKEN_COUNT = MAX_CAPTION_WORDS + 1;

const ids = new Map(TOKENS.map((t, i) => [t, i]));

/** `[TOKEN_COUNT]` ids: the start token, the words, padding. Words beyond the length are dropped. */
export function tokenize(text: string): number[] {
  const words = captionWords(text).map((w) => ids.get(w) ?? ids.get(UNKNOWN)!);
  const all = [ids.get(START)!, ...words].slice(0, TOKEN_COUNT);
  return [...all, ...new Array<number>(TOKEN_COUNT - all.length).fill(ids.get(PAD)!)];
}

/** The same tokenizer in the Hugging Face `tokenizer.json` format. */
export function tokenizerJson(): object {
  const special = (content: string) => ({
    id: ids.get(content)!,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special(PAD), special(START), special(UNKNOWN)],
    normalizer: {
      type: 'Sequence',
      normalizers: [{ type: 'Lowercase' }, { type: 'Replace', pattern: { Regex: '[^a-z0-9,]+' }, content: ' ' }],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'WhitespaceSplit' },
        { type: 'Split', pattern: { String: ',' }, behavior: 'Isolated', invert: false },
      ],
    },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: START, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [
        { SpecialToken: { id: START, type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { Sequence: { id: 'B', type_id: 0 } },
      ],
      special_tokens: { [START]: { id: START, ids: [ids.get(START)!], tokens: [START] } },
    },
    decoder: null,
    model: { type: 'WordLevel', vocab: Object.fromEntries(ids), unk_token: UNKNOWN },
  };
}

export function tokenizerConfigJson(): object {
  return {
    model_max_length: TOKEN_COUNT,
    pad_token: PAD,
    cls_token: START,
    unk_token: UNKNOWN,
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
}
