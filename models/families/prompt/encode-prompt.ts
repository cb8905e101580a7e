import { applyWeights, type Emphasis } from './apply-weights.ts';
import { type Chunk, chunkOf } from './chunk.ts';
import { type PromptReader, type ReadPrompt, readPrompt } from './read-prompt.ts';

/** What a text encoder gives for one run of `T` ids. */
export interface TextState {
  /** `[T, D]`; null where the model reads only the pooled vector. */
  readonly hidden: Float32Array | null;
  readonly pooled: Float32Array | null;
}

/** A text encoder of a model, ready to run. */
export interface PromptEncoder extends PromptReader {
  /** Whether weights of words act on its hidden states; where not, they are parsed and left out (T5). */
  readonly emphasis: boolean;
  /** `used`: how many of the ids come before the padding. */
  run(ids: readonly number[], used: number): Promise<TextState>;
}

/** A text as one encoder read it. `S`: its chunks × `length`. */
export interface EncodedText {
  /** `[S, D]` */
  readonly hidden: Float32Array | null;
  /** Of the first chunk. */
  readonly pooled: Float32Array | null;
  /** `[S]`: 1 at opening, words and closing, 0 at padding. */
  readonly mask: Float32Array;
}

/** A prompt and what to steer away from, one entry per encoder; an encoder's `S` is the same in both. */
export interface EncodedPrompt {
  readonly prompt: readonly EncodedText[];
  readonly negative: readonly EncodedText[];
  /** The end of each text that no encoder had room for; empty when all was read. */
  readonly unread: { readonly prompt: string; readonly negative: string };
}

/**
 * Prompt and negative prompt through every encoder: weights parsed, long texts in chunks, and the shorter of the two filled up
 * with empty chunks.
 */
export async function encodePrompt(
  encoders: readonly PromptEncoder[],
  prompt: string,
  negative: string,
  emphasis: Emphasis = 'restore-mean',
): Promise<EncodedPrompt> {
  const wanted = encoders.map((encoder) => readPrompt(encoder, prompt));
  const unwanted = encoders.map((encoder) => readPrompt(encoder, negative));
  const longest = Math.max(1, ...[...wanted, ...unwanted].map((read) => read.chunks.length));
  const encode = async (reads: readonly ReadPrompt[]): Promise<EncodedText[]> => {
    const texts: EncodedText[] = [];
    for (const [i, encoder] of encoders.entries()) {
      const chunks = [...reads[i]!.chunks];
      while (chunks.length < Math.min(longest, encoder.maxChunks))
        chunks.push(chunkOf(encoder.tokenizer, [], encoder.length));
      texts.push(await runChunks(encoder, chunks, encoder.emphasis ? emphasis : 'ignore'));
    }
    return texts;
  };
  return {
    prompt: await encode(wanted),
    negative: await encode(unwanted),
    unread: { prompt: unreadByAll(wanted), negative: unreadByAll(unwanted) },
  };
}

/** The encoder that reads furthest decides: what it read did reach the model. */
const unreadByAll = (reads: readonly ReadPrompt[]): string =>
  reads.map((read) => read.unread).reduce((a, b) => (b.length < a.length ? b : a), reads[0]?.unread ?? '');

/** Chunks one after the other along the sequence. */
async function runChunks(encoder: PromptEncoder, chunks: readonly Chunk[], emphasis: Emphasis): Promise<EncodedText> {
  const hidden: Float32Array[] = [];
  let pooled: Float32Array | null = null;
  for (const [i, chunk] of chunks.entries()) {
    const state = await encoder.run(chunk.ids, chunk.used);
    if (i === 0) pooled = state.pooled;
    if (state.hidden) hidden.push(applyWeights(state.hidden, chunk.weights, emphasis));
  }
  const mask = new Float32Array(chunks.length * encoder.length);
  for (const [i, chunk] of chunks.entries()) mask.fill(1, i * encoder.length, i * encoder.length + chunk.used);
  return { hidden: hidden.length === chunks.length ? joined(hidden) : null, pooled, mask };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
