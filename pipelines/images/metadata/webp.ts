import type { MetadataBlocks } from './jpeg.ts';
import { LIMITS, tooManyParts, truncated } from './limits.ts';

export function isWebp(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(12, bytes.byteLength)).toString('latin1');
  return start.startsWith('RIFF') && start.endsWith('WEBP');
}

/**
 * EXIF and XMP of a WebP file (RFC 9649, 2.3 and 2.7): chunks of a RIFF container, each padded to an even length.
 * @throws {NorthlightError} `picture/truncated`, `picture/too-many-parts`.
 */
export function readWebpBlocks(bytes: Uint8Array, where: string): MetadataBlocks {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = 8 + file.readUInt32LE(4);
  if (end > file.length) throw truncated(where, 'its container');
  let exif: Uint8Array | null = null;
  let xmp: Uint8Array | null = null;
  let at = 12;
  for (let parts = 0; at < end; parts++) {
    if (parts > LIMITS.parts) throw tooManyParts(where);
    const length = at + 8 <= end ? file.readUInt32LE(at + 4) : Number.POSITIVE_INFINITY;
    if (at + 8 + length > end) throw truncated(where, `a chunk (byte ${at})`);
    const type = file.toString('latin1', at, at + 4);
    const body = file.subarray(at + 8, at + 8 + length);
    if (type === 'EXIF') exif ??= body;
    if (type === 'XMP ') xmp ??= body;
    at += 8 + length + (length % 2);
  }
  return { exif, xmp };
}
