import { frame, type PromptTokenizer, wordRoom } from '#models/families/tokenizers/index.ts';

/** A word's token with the weight of its piece. */
export interface WeightedToken {
  readonly id: number;
  readonly weight: number;
}

/** One run of a text encoder. */
export interface Chunk {
  /** `[length]`: opening, words, closing, padding. */
  readonly ids: readonly number[];
  /** `[length]`, 1 at everything that is no word. */
  readonly weights: readonly number[];
  /** Ids before the padding. */
  readonly used: number;
}

/** A chunk that would end within this many tokens after a comma ends at the comma. */
const COMMA_REACH = 20;

/**
 * Words of a prompt divided among runs of the encoder, as the AUTOMATIC1111 web UI does: a full chunk ends at its last comma if
 * that is near; every section starts a chunk of its own. At least one chunk; an empty last section adds none.
 */
export function divideTokens(
  tokenizer: PromptTokenizer,
  sections: readonly (readonly WeightedToken[])[],
  length: number,
): WeightedToken[][] {
  const room = wordRoom(tokenizer, length);
  const done: WeightedToken[][] = [];
  let current: WeightedToken[] = [];
  let comma = -1;
  const startNext = (first: WeightedToken[] = []) => {
    done.push(current);
    current = first;
    comma = -1;
  };
  for (const [i, tokens] of sections.entries()) {
    if (i > 0) startNext();
    for (const token of tokens) {
      if (token.id === tokenizer.comma) comma = current.length;
      else if (current.length === room && comma >= 0 && room - comma <= COMMA_REACH) {
        startNext(current.splice(comma + 1));
      }
      if (current.length === room) startNext();
      current.push(token);
    }
  }
  if (current.length > 0 || done.length === 0) startNext();
  return done;
}

/** The run for these words, which must fit; none at all make an empty chunk. */
export function chunkOf(tokenizer: PromptTokenizer, words: readonly WeightedToken[], length: number): Chunk {
  const before = tokenizer.bos === null ? 0 : 1;
  const weights = new Array<number>(length).fill(1);
  for (const [i, { weight }] of words.entries()) weights[before + i] = weight;
  return {
    ids: frame(
      tokenizer,
      words.map((w) => w.id),
      length,
    ),
    weights,
    used: before + words.length + (tokenizer.eos === null ? 0 : 1),
  };
}
