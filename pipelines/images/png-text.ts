import { crc32, inflateSync } from 'node:zlib';
import { NorthlightError } from '#models/errors.ts';

/**
 * Text in PNG files: PNG specification (third edition), 11.3.3 (tEXt, zTXt, iTXt) and 5.3 (chunk layout).
 * The image library cannot write these chunks, and a picture's recipe belongs inside the picture.
 */

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** A compressed text chunk may not unpack to more than this. */
const MAX_TEXT_BYTES = 64 * 1024 * 1024;

export interface PngChunk {
  readonly type: string;
  readonly data: Buffer;
}

/**
 * The chunks of a PNG file in order, as views.
 * @throws {NorthlightError} `png/not-png`, `png/truncated`, or `png/crc` when a checksum does not match.
 */
export function readPngChunks(bytes: Uint8Array, where = 'the picture'): PngChunk[] {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length < 8 || !file.subarray(0, 8).equals(SIGNATURE)) {
    throw new NorthlightError('png/not-png', `${where} is not a PNG file.`, 'Choose a PNG picture.');
  }
  const chunks: PngChunk[] = [];
  let at = 8;
  while (at < file.length) {
    const length = at + 12 <= file.length ? file.readUInt32BE(at) : Number.POSITIVE_INFINITY;
    if (at + 12 + length > file.length) {
      throw new NorthlightError('png/truncated', `${where} ends in the middle of a chunk (byte ${at}).`, COPY_AGAIN);
    }
    const type = file.toString('latin1', at + 4, at + 8);
    if (crc32(file.subarray(at + 4, at + 8 + length)) !== file.readUInt32BE(at + 8 + length)) {
      throw new NorthlightError('png/crc', `${where} is damaged: the checksum of chunk ${type} is wrong.`, COPY_AGAIN);
    }
    chunks.push({ type, data: file.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
    if (type === 'IEND') return chunks;
  }
  throw new NorthlightError('png/truncated', `${where} has no end marker.`, COPY_AGAIN);
}

const COPY_AGAIN = 'The file was cut short or damaged: copy or export it again.';

/**
 * The PNG with one text chunk per entry, placed right after the header in the given order; other chunks are unchanged.
 * Latin-1 text becomes `tEXt`, anything else `iTXt` (UTF-8), both uncompressed. Entries with the same keyword replace
 * text that was there before.
 * @throws {NorthlightError} `png/keyword` for a keyword outside 1–79 printable Latin-1 characters, `png/text` for a NUL.
 */
export function withPngText(png: Uint8Array, text: Readonly<Record<string, string>>): Buffer {
  const [header, ...rest] = readPngChunks(png);
  const parts: Buffer[] = [SIGNATURE, chunkBytes(header!)];
  for (const [keyword, value] of Object.entries(text)) parts.push(chunkBytes(textChunk(keyword, value)));
  for (const chunk of rest) {
    const old = parseTextChunk(chunk);
    if (old && Object.hasOwn(text, old[0])) continue;
    parts.push(chunkBytes(chunk));
  }
  return Buffer.concat(parts);
}

/** All text of a PNG by keyword (`tEXt`, `zTXt`, `iTXt`); the last one wins where a keyword repeats. */
export function readPngText(bytes: Uint8Array, where?: string): Record<string, string> {
  const found = new Map<string, string>();
  for (const chunk of readPngChunks(bytes, where)) {
    const entry = parseTextChunk(chunk);
    if (entry) found.set(entry[0], entry[1]);
  }
  return Object.fromEntries(found);
}

function textChunk(keyword: string, value: string): PngChunk {
  if (!/^[\x21-\x7e\xa1-\xff](?:[\x20-\x7e\xa1-\xff]{0,77}[\x21-\x7e\xa1-\xff])?$/.test(keyword)) {
    throw new NorthlightError(
      'png/keyword',
      `"${keyword}" cannot name a text in a PNG file.`,
      'Use 1 to 79 printable Latin characters with no space at either end.',
    );
  }
  if (value.includes('\0')) {
    throw new NorthlightError('png/text', `The text "${keyword}" contains a NUL character.`, 'Remove it.');
  }
  const latin1 = Buffer.from(value, 'latin1');
  if (latin1.toString('latin1') === value) {
    return { type: 'tEXt', data: Buffer.concat([Buffer.from(`${keyword}\0`, 'latin1'), latin1]) };
  }
  // keyword NUL, compression flag 0, method 0, empty language NUL, empty translated keyword NUL
  return {
    type: 'iTXt',
    data: Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(value, 'utf8')]),
  };
}

function parseTextChunk({ type, data }: PngChunk): [string, string] | null {
  if (type !== 'tEXt' && type !== 'zTXt' && type !== 'iTXt') return null;
  const end = data.indexOf(0);
  if (end < 0) return null;
  const keyword = data.toString('latin1', 0, end);
  if (type === 'tEXt') return [keyword, data.toString('latin1', end + 1)];
  if (type === 'zTXt') return [keyword, inflateText(data.subarray(end + 2)).toString('latin1')];
  const compressed = data[end + 1] === 1;
  const language = data.indexOf(0, end + 3);
  const translated = language < 0 ? -1 : data.indexOf(0, language + 1);
  if (translated < 0) return null;
  const body = data.subarray(translated + 1);
  return [keyword, (compressed ? inflateText(body) : body).toString('utf8')];
}

function inflateText(data: Buffer): Buffer {
  try {
    return inflateSync(data, { maxOutputLength: MAX_TEXT_BYTES });
  } catch (cause) {
    throw new NorthlightError('png/text', 'A compressed text in the picture cannot be unpacked.', COPY_AGAIN, {
      cause,
    });
  }
}

function chunkBytes({ type, data }: PngChunk): Buffer {
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, 'latin1');
  data.copy(out, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
  return out;
}
