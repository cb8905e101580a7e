import { NorthlightError } from '#models/errors.ts';

/** Text to token ids, as a model folder's own files say. */
export interface PromptTokenizer {
  /** Ids of the words alone: nothing opens or closes them, nothing is cut. */
  encode(text: string): number[];
  /** Put before the words; null for a tokenizer that puts nothing there. */
  readonly bos: number | null;
  /** Put after the words; null for a tokenizer that puts nothing there. */
  readonly eos: number | null;
  /** Fills up to the length. */
  readonly pad: number;
  /** A comma between words, at which a long prompt may be broken; null when the vocabulary has none. */
  readonly comma: number | null;
  /** Most ids that the model was trained to read at once, opening and closing ones included; Infinity when nothing says. */
  readonly maxLength: number;
}

/** How many ids of words fit into `length`, at least one. @throws {NorthlightError} `tokenizer/no-room` */
export function wordRoom(tokenizer: PromptTokenizer, length: number): number {
  const room = length - (tokenizer.bos === null ? 0 : 1) - (tokenizer.eos === null ? 0 : 1);
  if (room >= 1) return room;
  throw new NorthlightError(
    'tokenizer/no-room',
    `A text encoder that reads ${length} tokens has no room for a word beside those that open and close a text.`,
    'Export the text encoder with more tokens; 77 is usual.',
  );
}

/** `[length]` ids: opening, words, closing, padding. `words` must fit. */
export function frame(tokenizer: PromptTokenizer, words: readonly number[], length: number): number[] {
  const { bos, eos, pad } = tokenizer;
  const ids = [...(bos === null ? [] : [bos]), ...words, ...(eos === null ? [] : [eos])];
  return [...ids, ...new Array<number>(length - ids.length).fill(pad)];
}
