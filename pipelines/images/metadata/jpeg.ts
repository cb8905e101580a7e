import { isPlainExif } from './exif.ts';
import { LIMITS, tooManyParts, truncated } from './limits.ts';

/** The metadata of a JPEG or WebP file, as views of it. */
export interface MetadataBlocks {
  readonly exif: Uint8Array | null;
  readonly xmp: Uint8Array | null;
}

interface Segment {
  readonly marker: number;
  /** Where its marker begins, and where the next one does. */
  readonly start: number;
  readonly end: number;
  readonly body: Buffer;
}

const EXIF = 'Exif\0\0';
const XMP = 'http://ns.adobe.com/xap/1.0/\0';
const APP1 = 0xe1;
const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;

export const isJpeg = (bytes: Uint8Array) => bytes[0] === 0xff && bytes[1] === 0xd8;

/**
 * EXIF and XMP of a JPEG file. The first of each kind counts.
 * @throws {NorthlightError} `picture/truncated`, `picture/too-many-parts`.
 */
export function readJpegBlocks(bytes: Uint8Array, where: string): MetadataBlocks {
  let exif: Uint8Array | null = null;
  let xmp: Uint8Array | null = null;
  for (const { marker, body } of segmentsOf(bytes, where)) {
    if (isExif(marker, body)) exif ??= body.subarray(EXIF.length);
    if (marker === APP1 && body.toString('latin1', 0, XMP.length) === XMP) xmp ??= body.subarray(XMP.length);
  }
  return { exif, xmp };
}

/**
 * The JPEG without EXIF that no camera writes: a decoder that looks for the orientation would follow thousands of
 * directories.
 * @throws {NorthlightError} those of {@link readJpegBlocks}.
 */
export function withPlainExif(bytes: Uint8Array, where: string): Uint8Array {
  const strange = [...segmentsOf(bytes, where)].filter(
    ({ marker, body }) => isExif(marker, body) && !isPlainExif(body.subarray(EXIF.length)),
  );
  if (strange.length === 0) return bytes;
  const starts = [0, ...strange.map((segment) => segment.end)];
  const ends = [...strange.map((segment) => segment.start), bytes.length];
  return Buffer.concat(starts.map((start, i) => bytes.subarray(start, ends[i])));
}

const isExif = (marker: number, body: Buffer) => marker === APP1 && body.toString('latin1', 0, EXIF.length) === EXIF;

/** Segments up to the first scan (ITU T.81, annex B.1) that have a body. */
function* segmentsOf(bytes: Uint8Array, where: string): Generator<Segment> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 2;
  for (let parts = 0; ; parts++) {
    if (parts > LIMITS.parts) throw tooManyParts(where);
    const start = at;
    // Decoders skip what is no marker, and any number of fill bytes may stand before one.
    while (at < file.length && file[at] !== 0xff) at++;
    while (file[at] === 0xff) at++;
    const marker = file[at];
    if (marker === undefined) throw truncated(where, 'its segments');
    at++;
    if (marker === START_OF_SCAN || marker === END_OF_IMAGE) return;
    // TEM and restart markers stand alone.
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue;
    const length = at + 2 <= file.length ? file.readUInt16BE(at) : 0;
    if (length < 2 || at + length > file.length) throw truncated(where, `a segment (byte ${at})`);
    yield { marker, start, end: at + length, body: file.subarray(at + 2, at + length) };
    at += length;
  }
}
