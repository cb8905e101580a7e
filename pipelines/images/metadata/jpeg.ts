import { NorthlightError } from '#models/errors.ts';
import { LIMITS, tooManyParts, truncated } from './limits.ts';

/** The metadata of a JPEG or WebP file, as views of it. */
export interface MetadataBlocks {
  readonly exif: Uint8Array | null;
  readonly xmp: Uint8Array | null;
}

const EXIF = 'Exif\0\0';
const XMP = 'http://ns.adobe.com/xap/1.0/\0';
const APP1 = 0xe1;
const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;

export const isJpeg = (bytes: Uint8Array) => bytes[0] === 0xff && bytes[1] === 0xd8;

/**
 * EXIF and XMP of a JPEG file (ITU T.81 annex B.1): segments up to the first scan. The first of each kind counts.
 * @throws {NorthlightError} `picture/truncated`, `picture/segment`, `picture/too-many-parts`.
 */
export function readJpegBlocks(bytes: Uint8Array, where: string): MetadataBlocks {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let exif: Uint8Array | null = null;
  let xmp: Uint8Array | null = null;
  let at = 2;
  for (let parts = 0; ; parts++) {
    if (parts > LIMITS.parts) throw tooManyParts(where);
    if (file[at] !== 0xff && at < file.length) {
      throw new NorthlightError(
        'picture/segment',
        `${where} is damaged: no marker at byte ${at}.`,
        'Copy or export the picture again.',
      );
    }
    // Any number of fill bytes may stand before a marker.
    while (file[at] === 0xff) at++;
    const marker = file[at];
    if (marker === undefined) throw truncated(where, 'its segments');
    at++;
    if (marker === START_OF_SCAN || marker === END_OF_IMAGE) return { exif, xmp };
    // TEM and restart markers stand alone.
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue;
    const length = at + 2 <= file.length ? file.readUInt16BE(at) : 0;
    if (length < 2 || at + length > file.length) throw truncated(where, `a segment (byte ${at})`);
    const body = file.subarray(at + 2, at + length);
    if (marker === APP1 && body.toString('latin1', 0, EXIF.length) === EXIF) exif ??= body.subarray(EXIF.length);
    if (marker === APP1 && body.toString('latin1', 0, XMP.length) === XMP) xmp ??= body.subarray(XMP.length);
    at += length;
  }
}
