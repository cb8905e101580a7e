import { badJson } from './folder-files.ts';

/**
 * SentencePiece's compiled normalisation (Kudo, Richardson 2018, arXiv:1808.06226, §3.3): a double-array trie over UTF-8 whose
 * leaves point into a block of NUL-terminated replacements. At every place the longest source in the trie is replaced; what is
 * not in it stays. Layout: bytes of the trie (uint32, little-endian), the trie's units (uint32), the replacements.
 * @throws {NorthlightError} `tokenizer/bad-json` when the sizes do not fit.
 */
export function charsMap(blob: Uint8Array, path: string): (text: string) => string {
  if (blob.length === 0) return (text) => text;
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const trieBytes = blob.length >= 4 ? view.getUint32(0, true) : -1;
  if (trieBytes < 4 || trieBytes % 4 !== 0 || trieBytes > blob.length - 4) {
    throw badJson(path, 'the table of its normalisation has another size than it says');
  }
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const replacements = blob.subarray(4 + trieBytes);
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return (text) => {
    const bytes = new TextEncoder().encode(text);
    const out: Uint8Array[] = [];
    let kept = 0;
    for (let at = 0; at < bytes.length; ) {
      const match = longestMatch(units, bytes, at);
      if (match === null) {
        at += characterLength(bytes[at]!);
        continue;
      }
      const end = replacements.indexOf(0, match.value);
      out.push(bytes.subarray(kept, at), replacements.subarray(match.value, end < 0 ? undefined : end));
      at += match.length;
      kept = at;
    }
    out.push(bytes.subarray(kept));
    return decoder.decode(Buffer.concat(out));
  };
}

/** A unit holds a label, where its children lie, and whether one of them is a leaf; a leaf's unit is its value. */
function longestMatch(units: Uint32Array, bytes: Uint8Array, start: number): { length: number; value: number } | null {
  let best: { length: number; value: number } | null = null;
  let node = children(units[0]!);
  for (let i = start; i < bytes.length; i++) {
    const place = node ^ bytes[i]!;
    const unit = units[place];
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== bytes[i]) break;
    node = place ^ children(unit);
    if ((unit & 0x100) !== 0) best = { length: i + 1 - start, value: (units[node] ?? 0) & 0x7fffffff };
  }
  return best;
}

const children = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >> 6);

const characterLength = (first: number): number => (first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4);
