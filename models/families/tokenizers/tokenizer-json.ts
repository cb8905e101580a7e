import { z } from 'zod';

/** Ids beyond any vocabulary in use; larger ones would only cost memory. */
const LARGEST_ID = 2 ** 24;

const id = z.int().min(0).max(LARGEST_ID);

/** A processing step. What it may hold besides its type is the library's business. */
const step = z
  .looseObject({ type: z.string() })
  .nullish()
  .transform((s) => s ?? null);

/** Whether it gives an id per piece. A plain loop: vocabularies have up to a few hundred thousand entries. */
export function isIdTable(value: unknown): value is Record<string, number> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((v) => Number.isInteger(v) && v >= 0 && v <= LARGEST_ID);
}

const isVocabulary = (value: unknown): boolean =>
  Array.isArray(value) ? value.every(isScoredPiece) : isIdTable(value);

const isScoredPiece = (entry: unknown): boolean =>
  Array.isArray(entry) &&
  entry.length === 2 &&
  typeof entry[0] === 'string' &&
  entry[0] !== '' &&
  Number.isFinite(entry[1]);

const isMerge = (entry: unknown): boolean =>
  typeof entry === 'string' ||
  (Array.isArray(entry) && entry.length === 2 && entry.every((e) => typeof e === 'string'));

/** What must hold of a `tokenizer.json` before the library may have it. The decoder is left out: we never go back to text. */
export const tokenizerJson = z
  .looseObject({
    added_tokens: z
      .array(z.looseObject({ id, content: z.string().min(1) }))
      .nullish()
      .transform((t) => t ?? []),
    normalizer: step,
    pre_tokenizer: step,
    post_processor: step,
    padding: z.looseObject({ pad_id: id.optional() }).nullish(),
    model: z
      .looseObject({
        type: z.string().optional(),
        vocab: z.custom<object>(isVocabulary, 'a vocabulary gives a whole number, or a piece and its score, per entry'),
        merges: z
          .custom<unknown[]>((m) => Array.isArray(m) && m.every(isMerge), 'a merge is a pair of pieces')
          .optional(),
        unk_token: z.string().nullish(),
        unk_id: id.nullish(),
      })
      .refine((m) => m.type !== 'BPE' || m.merges !== undefined, 'a BPE model without merges')
      .refine(
        (m) => (m.type === 'Unigram') === Array.isArray(m.vocab) || m.type === undefined,
        'a vocabulary of another kind of model',
      )
      .refine((m) => !Array.isArray(m.vocab) || m.vocab.length > 0, 'an empty vocabulary')
      .refine((m) => !Array.isArray(m.vocab) || (m.unk_id ?? 0) < m.vocab.length, 'unk_id is not in the vocabulary'),
  })
  .transform((json) => ({ ...json, decoder: null }));

export type TokenizerJson = z.output<typeof tokenizerJson>;
