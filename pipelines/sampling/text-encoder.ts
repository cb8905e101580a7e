import type { TextPart } from '#models/families/family.ts';
import { type PromptEncoder, readerOf, type TextState } from '#models/families/prompt/index.ts';
import type { Session } from '#models/runtime/session.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { outputNumbers, toPort } from './feeds.ts';

/** Encodings that one encoder remembers, at most. */
const REMEMBERED_BYTES = 32 * 2 ** 20;

/**
 * One run at a time, so that the encoding of a text never depends on its neighbours; the latest are remembered.
 * @throws {NorthlightError} `tokenizer/…`
 */
export function createTextEncoder(part: TextPart, session: Session): PromptEncoder {
  const length = part.tokens;
  const ports = new Map(part.component.signature.inputs.map((p) => [p.name, p]));
  const wanted = [part.hidden, part.pooled].filter((name) => name !== null);
  const known = new Map<string, TextState>();
  let bytes = 0;
  const run = async (ids: readonly number[], used: number): Promise<TextState> => {
    const feeds: Record<string, Tensor> = {
      input_ids: toPort(ports.get('input_ids')!.dtype, f32([1, length], ids)),
    };
    const attention = ports.get('attention_mask');
    if (attention) {
      const mask = new Float32Array(length).fill(1, 0, part.masksPadding ? used : length);
      feeds.attention_mask = toPort(attention.dtype, f32([1, length], mask));
    }
    const out = await session.run(feeds, wanted);
    const numbers = (name: string | null) => (name === null ? null : outputNumbers(out[name]!));
    return { hidden: numbers(part.hidden), pooled: numbers(part.pooled) };
  };
  return {
    ...readerOf(part),
    emphasis: part.emphasis,
    async run(ids, used) {
      const key = ids.join();
      const state = known.get(key) ?? (await run(ids, used));
      if (!known.delete(key)) bytes += bytesOf(state);
      known.set(key, state);
      for (const [oldest, old] of known) {
        if (bytes <= REMEMBERED_BYTES || oldest === key) break;
        known.delete(oldest);
        bytes -= bytesOf(old);
      }
      return state;
    },
  };
}

const bytesOf = ({ hidden, pooled }: TextState): number => (hidden?.byteLength ?? 0) + (pooled?.byteLength ?? 0);
