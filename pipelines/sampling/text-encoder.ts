import type { EncodedText, TextPart } from '#models/families/family.ts';
import { loadTokenizer } from '#models/families/tokenizer.ts';
import type { Session } from '#models/runtime/session.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { outputNumbers, toPort } from './feeds.ts';

/** Encodes one text. */
export type EncodeText = (text: string) => Promise<EncodedText>;

/** One text at a time: the encoding of a text never depends on its neighbours. */
export function createTextEncoder(part: TextPart, session: Session): EncodeText {
  const { tokens } = part;
  const tokenizer = loadTokenizer(part.tokenizer, tokens);
  const ports = new Map(part.component.signature.inputs.map((p) => [p.name, p]));
  return async (text) => {
    const ids = tokenizer.encode(text);
    const mask = f32([tokens], new Float32Array(tokens).fill(1));
    const feeds: Record<string, Tensor> = {
      input_ids: toPort(ports.get('input_ids')!.dtype, f32([1, tokens], ids)),
    };
    const attention = ports.get('attention_mask');
    if (attention) feeds.attention_mask = toPort(attention.dtype, f32([1, tokens], mask.data));
    const wanted = [part.hidden, part.pooled].filter((name) => name !== null);
    const out = await session.run(feeds, wanted);
    const row = (name: string | null) => {
      if (name === null) return null;
      const t = out[name]!;
      return f32(t.dims.slice(1), outputNumbers(t));
    };
    return { hidden: row(part.hidden), pooled: row(part.pooled), mask };
  };
}
