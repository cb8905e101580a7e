/** EXIF and the files around it, written by the letter of the standards for tests that read them. */

export interface ExifEntry {
  readonly tag: number;
  readonly type: number;
  readonly count: number;
  /** Bytes of the value; a number is an offset. */
  readonly value: Buffer | number;
}

/** A TIFF header, one directory with the entries of the image, and one with those of the camera. */
export function tiff(order: 'II' | 'MM', image: readonly ExifEntry[], camera: readonly ExifEntry[] = []): Buffer {
  const little = order === 'II';
  const u16 = (v: number) => {
    const b = Buffer.alloc(2);
    little ? b.writeUInt16LE(v) : b.writeUInt16BE(v);
    return b;
  };
  const u32 = (v: number) => {
    const b = Buffer.alloc(4);
    little ? b.writeUInt32LE(v) : b.writeUInt32BE(v);
    return b;
  };
  const all = camera.length > 0 ? [...image, { tag: 0x8769, type: 4, count: 1, value: -1 }] : [...image];
  const imageSize = 2 + all.length * 12 + 4;
  const cameraSize = camera.length > 0 ? 2 + camera.length * 12 + 4 : 0;
  let free = 8 + imageSize + cameraSize;
  const heap: Buffer[] = [];
  const directory = (entries: readonly ExifEntry[]) =>
    Buffer.concat([
      u16(entries.length),
      ...entries.map(({ tag, type, count, value }) => {
        const head = Buffer.concat([u16(tag), u16(type), u32(count)]);
        if (typeof value === 'number') return Buffer.concat([head, u32(value === -1 ? 8 + imageSize : value)]);
        if (value.length <= 4) return Buffer.concat([head, value, Buffer.alloc(4 - value.length)]);
        heap.push(value);
        free += value.length;
        return Buffer.concat([head, u32(free - value.length)]);
      }),
      u32(0),
    ]);
  const parts = [directory(all), camera.length > 0 ? directory(camera) : Buffer.alloc(0)];
  return Buffer.concat([Buffer.from(order, 'latin1'), u16(42), u32(8), ...parts, ...heap]);
}

export const utf16 = (text: string, order: 'LE' | 'BE'): Buffer => {
  const bytes = Buffer.from(text, 'utf16le');
  return order === 'LE' ? bytes : bytes.swap16();
};

export function userComment(order: 'II' | 'MM', body: Buffer): Buffer {
  return tiff(order, [], [{ tag: 0x9286, type: 7, count: body.length, value: body }]);
}

export const unicodeComment = (text: string, order: 'II' | 'MM', encoding: 'LE' | 'BE'): Buffer =>
  userComment(order, Buffer.concat([Buffer.from('UNICODE\0', 'latin1'), utf16(text, encoding)]));

export const asciiComment = (text: string, order: 'II' | 'MM'): Buffer =>
  userComment(order, Buffer.concat([Buffer.from('ASCII\0\0\0', 'latin1'), Buffer.from(text, 'utf8')]));

/** A JPEG file with segments put behind its start. */
export function withSegments(
  jpeg: Uint8Array,
  ...segments: readonly (readonly [marker: number, body: Buffer])[]
): Buffer {
  const written = segments.map(([marker, body]) => {
    const head = Buffer.of(0xff, marker, 0, 0);
    head.writeUInt16BE(body.length + 2, 2);
    return Buffer.concat([head, body]);
  });
  return Buffer.concat([jpeg.subarray(0, 2), ...written, jpeg.subarray(2)]);
}

export const exifSegment = (exif: Buffer) => [0xe1, Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), exif])] as const;

export const xmpSegment = (xmp: string) => [0xe1, Buffer.from(`http://ns.adobe.com/xap/1.0/\0${xmp}`, 'utf8')] as const;

/** A WebP file (RIFF) with chunks put at its end. */
export function withRiffChunks(
  webp: Uint8Array,
  ...chunks: readonly (readonly [type: string, body: Buffer])[]
): Buffer {
  const written = chunks.map(([type, body]) => {
    const head = Buffer.alloc(8);
    head.write(type, 'latin1');
    head.writeUInt32LE(body.length, 4);
    return Buffer.concat([head, body, Buffer.alloc(body.length % 2)]);
  });
  const file = Buffer.concat([webp, ...written]);
  file.writeUInt32LE(file.length - 8, 4);
  return file;
}
