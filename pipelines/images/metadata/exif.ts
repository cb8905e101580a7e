/**
 * Text in EXIF (a TIFF directory; CIPA DC-008, TIFF 6.0 section 2). Only texts are read, every offset is checked, and a
 * directory is visited once: damaged EXIF gives fewer texts, never an error, for cameras and editors damage it often.
 */

const IMAGE_DESCRIPTION = 0x010e;
const MAKE = 0x010f;
const MODEL = 0x0110;
const EXIF_DIRECTORY = 0x8769;
const GPS_DIRECTORY = 0x8825;
const INTEROPERABILITY_DIRECTORY = 0xa005;
const USER_COMMENT = 0x9286;

const ASCII = 2;
const UNDEFINED = 7;
const POINTERS = new Set([EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY_DIRECTORY]);
const MAX_DIRECTORIES = 16;
const MAX_ENTRIES = 1000;

export interface ExifTexts {
  readonly userComment?: string;
  readonly imageDescription?: string;
  /** ComfyUI writes `workflow:{…}` and `prompt:{…}` here in WebP files. */
  readonly make?: string;
  readonly model?: string;
}

interface Entry {
  readonly tag: number;
  readonly type: number;
  /** Of the value, where it lies within the data. */
  readonly bytes: Buffer | null;
}

/** @param exif starts with the TIFF header, or with `Exif\0\0` before it. */
export function readExifTexts(exif: Uint8Array): ExifTexts {
  const { little, entries } = parseExif(exif);
  const found: { -readonly [K in keyof ExifTexts]: ExifTexts[K] } = {};
  for (const { tag, type, bytes } of entries) {
    if (bytes === null || (type !== ASCII && type !== UNDEFINED)) continue;
    if (tag === USER_COMMENT) found.userComment = commentText(bytes, little);
    else if (tag === IMAGE_DESCRIPTION) found.imageDescription = plainText(bytes);
    else if (tag === MAKE) found.make = plainText(bytes);
    else if (tag === MODEL) found.model = plainText(bytes);
  }
  return found;
}

/** Whether its directories are as cameras write them: few, and each led to once. */
export function isPlainExif(exif: Uint8Array): boolean {
  const { entries } = parseExif(exif);
  const pointers = entries.filter(({ tag }) => POINTERS.has(tag)).map(({ tag }) => tag);
  return entries.length <= MAX_ENTRIES && new Set(pointers).size === pointers.length;
}

function parseExif(exif: Uint8Array): { little: boolean; entries: Entry[] } {
  let data = Buffer.from(exif.buffer, exif.byteOffset, exif.byteLength);
  if (data.toString('latin1', 0, 6) === 'Exif\0\0') data = data.subarray(6);
  const order = data.toString('latin1', 0, 2);
  const little = order === 'II';
  const entries: Entry[] = [];
  if (data.length < 8 || (order !== 'II' && order !== 'MM')) return { little, entries };
  const u16 = (at: number) => (little ? data.readUInt16LE(at) : data.readUInt16BE(at));
  const u32 = (at: number) => (little ? data.readUInt32LE(at) : data.readUInt32BE(at));
  if (u16(2) !== 42) return { little, entries };
  const waiting = [u32(4)];
  const visited = new Set<number>();
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (visited.has(at) || visited.size >= MAX_DIRECTORIES || at + 2 > data.length) continue;
    visited.add(at);
    const count = Math.min(u16(at), Math.floor((data.length - at - 2) / 12));
    for (let i = 0; i < count; i++) {
      const entry = at + 2 + i * 12;
      const tag = u16(entry);
      const size = u32(entry + 4);
      if (tag === EXIF_DIRECTORY) waiting.push(u32(entry + 8));
      // Of the types that are read an element is a byte.
      const start = size <= 4 ? entry + 8 : u32(entry + 8);
      const bytes = start + size > data.length ? null : data.subarray(start, start + size);
      entries.push({ tag, type: u16(entry + 2), bytes });
    }
  }
  return { little, entries };
}

/** UserComment: eight bytes that name the code, then the text. */
function commentText(bytes: Buffer, little: boolean): string {
  const code = bytes.toString('latin1', 0, 8);
  if (code === 'UNICODE\0') return utf16(bytes.subarray(8), little);
  if (code === 'ASCII\0\0\0' || code === '\0\0\0\0\0\0\0\0') return plainText(bytes.subarray(8));
  return plainText(bytes);
}

/**
 * UTF-16 in the order that its byte order mark or its zero bytes tell: libraries write either, whatever the TIFF header
 * says. Settings always hold ASCII letters, whose high byte is zero.
 */
function utf16(bytes: Buffer, little: boolean): string {
  const even = bytes.subarray(0, bytes.length - (bytes.length % 2));
  const mark = even.length >= 2 ? even.readUInt16BE(0) : 0;
  let first = 0;
  let second = 0;
  for (let i = 0; i < even.length; i += 2) {
    if (even[i] === 0) first++;
    if (even[i + 1] === 0) second++;
  }
  const isLittle = mark === 0xfffe || (mark !== 0xfeff && (first === second ? little : second > first));
  const text = isLittle ? even.toString('utf16le') : Buffer.from(even).swap16().toString('utf16le');
  return trimNul(text.startsWith('\ufeff') ? text.slice(1) : text);
}

const plainText = (bytes: Buffer) => trimNul(bytes.toString('utf8'));

function trimNul(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0) end--;
  return text.slice(0, end);
}
