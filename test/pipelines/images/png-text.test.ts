import { deflateSync } from 'node:zlib';
import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { encodePng } from '#pipelines/images/images.ts';
import { readPngChunks, readPngText, withPngText } from '#pipelines/images/png-text.ts';

const pixel = await encodePng(Uint8Array.of(10, 20, 30), 1, 1);

/** CRC-32 bit by bit, as in annex D of the PNG specification: shares nothing with the library's. */
function slowCrc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(slowCrc32(body), body.length + 4);
  return out;
}

describe('text in PNG files', () => {
  const keyword = fc.stringMatching(/^[A-Za-z]([A-Za-z0-9 ]{0,60}[A-Za-z0-9])?$/).filter((k) => k !== '__proto__');
  const value = fc.string({ unit: 'grapheme', maxLength: 200 }).filter((s) => !s.includes('\0'));

  test.prop([fc.dictionary(keyword, value, { maxKeys: 4, noNullPrototype: true })])(
    'what is written is read back, in any script',
    (text) => {
      expect(readPngText(withPngText(pixel, text))).toEqual(text);
    },
  );

  test('Latin-1 goes into tEXt and anything else into iTXt, right after the header', () => {
    const chunks = readPngChunks(withPngText(pixel, { Title: 'Blüte', parameters: 'цветок 🌷' }));
    expect(chunks.slice(0, 3).map((c) => c.type)).toEqual(['IHDR', 'tEXt', 'iTXt']);
    expect(chunks[1]!.data).toEqual(Buffer.from('Title\0Bl\u00fcte', 'latin1'));
    expect(chunks[2]!.data).toEqual(Buffer.from('parameters\0\0\0\0\0цветок 🌷', 'utf8'));
  });

  test('every checksum is the CRC-32 of type and data', () => {
    const png = withPngText(pixel, { a: 'b' });
    let at = 8;
    let seen = 0;
    while (at < png.length) {
      const length = png.readUInt32BE(at);
      expect(png.readUInt32BE(at + 8 + length)).toBe(slowCrc32(png.subarray(at + 4, at + 8 + length)));
      at += 12 + length;
      seen++;
    }
    expect(seen).toBeGreaterThanOrEqual(4);
  });

  test('writing a keyword again replaces it and keeps the others', () => {
    const twice = withPngText(withPngText(pixel, { seed: '1', note: 'x' }), { seed: '2' });
    expect(readPngText(twice)).toEqual({ seed: '2', note: 'x' });
    expect(readPngChunks(twice).filter((c) => c.type === 'tEXt')).toHaveLength(2);
  });

  test('compressed text from other programs is read', () => {
    const z = chunk(
      'zTXt',
      Buffer.concat([Buffer.from('Comment\0\0', 'latin1'), deflateSync(Buffer.from('h\u00e9', 'latin1'))]),
    );
    const i = chunk(
      'iTXt',
      Buffer.concat([Buffer.from('Author\0\x01\0en\0Autor\0'), deflateSync(Buffer.from('Żaneta'))]),
    );
    const png = Buffer.concat([pixel.subarray(0, 33), z, i, pixel.subarray(33)]);
    expect(readPngText(png)).toEqual({ Comment: 'hé', Author: 'Żaneta' });
  });

  test('damage is named: wrong checksum, cut short, not a PNG', () => {
    const png = withPngText(pixel, { note: 'hello' });
    const flipped = Buffer.from(png);
    flipped[33 + 8 + 6]! ^= 1; // inside the text
    expect(() => readPngText(flipped)).toThrow(expect.objectContaining({ code: 'picture/crc' }));
    expect(() => readPngText(png.subarray(0, png.length - 3))).toThrow(
      expect.objectContaining({ code: 'picture/truncated' }),
    );
    expect(() => readPngText(Buffer.from('GIF89a....'))).toThrow(expect.objectContaining({ code: 'picture/not-png' }));
  });

  test('a keyword that PNG does not allow is refused', () => {
    for (const bad of ['', ' a', 'a ', 'x'.repeat(80), 'ключ', 'a\0b']) {
      expect(() => withPngText(pixel, { [bad]: 'v' })).toThrow(expect.objectContaining({ code: 'picture/keyword' }));
    }
    expect(() => withPngText(pixel, { ok: 'a\0b' })).toThrow(expect.objectContaining({ code: 'picture/text' }));
  });
});
