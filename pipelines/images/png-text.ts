import { crc32, inflateSync } from 'node:zlib';
import { NorthlightError } from '#models/errors.ts';
import { COPY_AGAIN, LIMITS, textTooLong, tooManyParts, truncated } from './metadata/limits.ts';

/**
 * Text in PNG files: PNG specification (third edition), 11.3.3 (tEXt, zTXt, iTXt) and 5.3 (chunk layout).
 * The image library cannot write these chunks, and a picture's recipe belongs inside the picture.
 */

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

export interface PngChunk {
  readonly type: string;
  readonly data: Buffer;
}

/**
 * The chunks of a PNG file in order, as views.
 * @throws {NorthlightError} `picture/not-png`, `picture/truncated`, `picture/crc` when a checksum does not match, `picture/too-many-parts`.
 */
export function readPngChunks(bytes: Uint8Array, where = 'the picture'): PngChunk[] {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!isPng(file)) {
    throw new NorthlightError('picture/not-png', `${where} is not a PNG file.`, 'Choose a PNG picture.');
  }
  const chunks: PngChunk[] = [];
  let at = 8;
  while (at < file.length) {
    const length = at + 12 <= file.length ? file.readUInt32BE(at) : Number.POSITIVE_INFINITY;
    if (at + 12 + length > file.length) {
      throw truncated(where, `a chunk (byte ${at})`);
    }
    const type = file.toString('latin1', at + 4, at + 8);
    if (crc32(file.subarray(at + 4, at + 8 + length)) !== file.readUInt32BE(at + 8 + length)) {
      throw new NorthlightError(
        'picture/crc',
        `${where} is damaged: the checksum of a chunk (byte ${at}) is wrong.`,
        COPY_AGAIN,
      );
    }
    if (chunks.length >= LIMITS.parts) throw tooManyParts(where);
    chunks.push({ type, data: file.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
    if (type === 'IEND') return chunks;
  }
  throw new NorthlightError('picture/truncated', `${where} has no end marker.`, COPY_AGAIN);
}

export const isPng = (bytes: Uint8Array) => SIGNATURE.every((byte, i) => bytes[i] === byte);

/**
 * The PNG with one text chunk per entry, placed right after the header in the given order; other chunks are unchanged.
 * Latin-1 text becomes `tEXt`, anything else `iTXt` (UTF-8), both uncompressed. Entries with the same keyword replace
 * text that was there before.
 * @throws {NorthlightError} `picture/keyword` for a keyword outside 1–79 printable Latin-1 characters, `picture/text` for a NUL.
 */
export function withPngText(png: Uint8Array, text: Readonly<Record<string, string>>): Buffer {
  const [header, ...rest] = readPngChunks(png);
  const parts: Buffer[] = [SIGNATURE, chunkBytes(header!)];
  for (const [keyword, value] of Object.entries(text)) parts.push(chunkBytes(textChunk(keyword, value)));
  for (const chunk of rest) {
    const old = keywordOf(chunk);
    if (old !== null && Object.hasOwn(text, old)) continue;
    parts.push(chunkBytes(chunk));
  }
  return Buffer.concat(parts);
}

const PIXELS = new Set(['IHDR', 'PLTE', 'IDAT', 'IEND', 'tRNS', 'gAMA', 'cHRM', 'sRGB', 'iCCP', 'eXIf']);

/**
 * The PNG with nothing but what decides its pixels: a decoder that unpacks every text would spend minutes on a file that
 * holds thousands of packed ones.
 * @throws {NorthlightError} those of {@link readPngChunks}.
 */
export function pixelsOfPng(png: Uint8Array, where?: string): Uint8Array {
  const chunks = readPngChunks(png, where);
  const seen = new Set<string>();
  const kept = chunks.filter(({ type }) => {
    const first = !seen.has(type);
    seen.add(type);
    return PIXELS.has(type) && (first || type === 'IDAT');
  });
  return kept.length === chunks.length ? png : Buffer.concat([SIGNATURE, ...kept.map(chunkBytes)]);
}

/**
 * All text of a PNG by keyword (`tEXt`, `zTXt`, `iTXt`); the last one wins where a keyword repeats.
 * @throws {NorthlightError} those of {@link readPngChunks}, `picture/text` for a text that cannot be unpacked,
 * `picture/text-too-long`.
 */
export function readPngText(bytes: Uint8Array, where = 'the picture'): Record<string, string> {
  return textOfChunks(readPngChunks(bytes, where), where);
}

export function textOfChunks(chunks: readonly PngChunk[], where: string): Record<string, string> {
  const found = new Map<string, string>();
  let left: number = LIMITS.textBytes;
  let texts = 0;
  for (const chunk of chunks) {
    const keyword = keywordOf(chunk);
    if (keyword === null) continue;
    if (++texts > LIMITS.texts) throw tooManyParts(where);
    const body = textBody(chunk, keyword.length + 1, left, where);
    if (body === null) continue;
    left -= body.length;
    if (left < 0) throw textTooLong(where);
    found.set(keyword, body.toString(chunk.type === 'iTXt' ? 'utf8' : 'latin1'));
  }
  return Object.fromEntries(found);
}

function textChunk(keyword: string, value: string): PngChunk {
  if (!/^[\x21-\x7e\xa1-\xff](?:[\x20-\x7e\xa1-\xff]{0,77}[\x21-\x7e\xa1-\xff])?$/.test(keyword)) {
    throw new NorthlightError(
      'picture/keyword',
      `"${keyword}" cannot name a text in a PNG file.`,
      'Use 1 to 79 printable Latin characters with no space at either end.',
    );
  }
  if (value.includes('\0')) {
    throw new NorthlightError('picture/text', `The text "${keyword}" contains a NUL character.`, 'Remove it.');
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

function keywordOf({ type, data }: PngChunk): string | null {
  if (type !== 'tEXt' && type !== 'zTXt' && type !== 'iTXt') return null;
  const end = data.subarray(0, 80).indexOf(0);
  return end < 0 ? null : data.toString('latin1', 0, end);
}

/** The text of a chunk, unpacked to `limit` bytes at most; null where its fields do not add up. `at` follows the keyword. */
function textBody({ type, data }: PngChunk, at: number, limit: number, where: string): Buffer | null {
  if (type === 'tEXt') return data.subarray(at);
  if (type === 'zTXt') return inflateText(data.subarray(at + 1), limit, where);
  const language = data.indexOf(0, at + 2);
  const translated = language < 0 ? -1 : data.indexOf(0, language + 1);
  if (translated < 0) return null;
  const body = data.subarray(translated + 1);
  return data[at] === 1 ? inflateText(body, limit, where) : body;
}

function inflateText(data: Buffer, limit: number, where: string): Buffer {
  try {
    return inflateSync(data, { maxOutputLength: Math.max(1, limit) });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw textTooLong(where);
    throw new NorthlightError('picture/text', `A compressed text in ${where} cannot be unpacked.`, COPY_AGAIN, {
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
