import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fc, test as property } from '@fast-check/vitest';
import { afterAll, describe, expect, test } from 'vitest';
import { NorthlightError } from '#models/errors.ts';
import { isNarrowFloat, PACKED_BITS } from '#models/tensor/narrow.ts';
import { encodeSafetensors, parseSafetensors, readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { BYTES_PER_ELEMENT, type DType, f32, fromBytes, type Tensor, tensor, toBytes } from '#models/tensor/tensor.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-safetensors-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const code = (expected: string) =>
  expect.objectContaining({ name: 'NorthlightError', code: `safetensors/${expected}` });

/** A file by hand: header text as given, then data. */
function file(header: string, data: Uint8Array | readonly number[] = []): Uint8Array {
  const text = Buffer.from(header, 'utf8');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, Uint8Array.from(data)]);
}

const HAND_MADE = file(
  '{"__metadata__":{"format":"pt"},"weight":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"bias":{"dtype":"F16","shape":[],"data_offsets":[8,10]}}'.padEnd(
    152,
  ),
  [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0x00, 0x3c],
);

// The format has neither strings nor ONNX's types of 8 bits and fewer.
const dtype = fc.constantFrom<DType>(
  ...(Object.keys(BYTES_PER_ELEMENT) as DType[]).filter(
    (d) => d !== 'string' && !isNarrowFloat(d) && !(d in PACKED_BITS),
  ),
);
const anyTensor: fc.Arbitrary<Tensor> = fc.tuple(dtype, fc.array(fc.nat(3), { maxLength: 3 })).chain(([d, dims]) => {
  const bytes = dims.reduce((a, b) => a * b, 1) * BYTES_PER_ELEMENT[d];
  return fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((raw) => fromBytes(d, dims, Uint8Array.from(raw)));
});
const name = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((s) => s !== '__metadata__');
const contents = fc.tuple(
  fc.uniqueArray(fc.tuple(name, anyTensor), { selector: ([n]) => n, maxLength: 6 }),
  fc.dictionary(name, fc.string({ unit: 'grapheme' })),
);

describe('format', () => {
  test('a file made by hand reads as what it says', () => {
    const { tensors, metadata } = parseSafetensors(HAND_MADE, 'hand');
    expect(tensors.get('weight')).toEqual(f32([2, 1], [1, -2]));
    expect(tensors.get('bias')).toEqual(tensor('float16', [], Uint16Array.of(0x3c00)));
    expect([...metadata]).toEqual([['format', 'pt']]);
  });

  test('the same contents are written byte for byte as the file made by hand', () => {
    const { tensors, metadata } = parseSafetensors(HAND_MADE, 'hand');
    expect(Buffer.compare(encodeSafetensors(tensors, metadata), HAND_MADE)).toBe(0);
  });

  property.prop([contents])('what is written reads back bit for bit', ([entries, metadata]) => {
    const tensors = new Map(entries);
    const bytes = encodeSafetensors(tensors, new Map(Object.entries(metadata)));
    const back = parseSafetensors(bytes, 'memory');
    expect(Object.fromEntries(back.metadata)).toEqual({ ...metadata });
    expect([...back.tensors.keys()].sort()).toEqual([...tensors.keys()].sort());
    for (const [key, t] of back.tensors) {
      const original = tensors.get(key)!;
      expect([t.dtype, t.dims]).toEqual([original.dtype, original.dims]);
      expect(Buffer.compare(toBytes(t), toBytes(original))).toBe(0);
    }
    const reversed = new Map([...tensors].reverse());
    expect(Buffer.compare(encodeSafetensors(reversed, new Map(Object.entries(metadata).reverse())), bytes)).toBe(0);
    expect(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true) % 8n).toBe(0n);
  });

  test('a file on disk equals the encoded bytes and reads back', () => {
    const path = join(folder, 'a.safetensors');
    const { tensors, metadata } = parseSafetensors(HAND_MADE, 'hand');
    writeSafetensors(path, tensors, metadata);
    expect(readSafetensors(path)).toEqual({ tensors, metadata });
    expect(readdirSync(folder)).toEqual(['a.safetensors']);
  });

  test('a string tensor is refused before anything is written', () => {
    const path = join(folder, 'text.safetensors');
    expect(() => writeSafetensors(path, new Map([['t', tensor('string', [1], ['x'])]]))).toThrow(code('dtype'));
    expect(readdirSync(folder)).not.toContain('text.safetensors');
  });
});

describe('hostile files', () => {
  const entry = (fields: string) => `{"w":{${fields}}}`;
  const hugeLength = Buffer.alloc(16, 0xff);
  test.each<[string, string, Uint8Array]>([
    ['empty', 'truncated', new Uint8Array()],
    ['seven bytes', 'truncated', new Uint8Array(7)],
    ['header longer than the file', 'truncated', HAND_MADE.subarray(0, 100)],
    ['data cut short', 'truncated', HAND_MADE.subarray(0, HAND_MADE.length - 1)],
    ['absurd header length', 'not-safetensors', hugeLength],
    ['other format', 'not-safetensors', Buffer.from('PK\x03\x04 something else entirely')],
    ['broken JSON', 'header', file('{"w":')],
    ['not UTF-8', 'header', Buffer.concat([file('{"w":   ').subarray(0, 13), Uint8Array.of(0xff, 0xfe, 0xff)])],
    ['entry not an object', 'header', file('{"w":3}')],
    ['metadata not text', 'header', file('{"__metadata__":{"a":1}}')],
    ['missing offsets', 'header', file(entry('"dtype":"F32","shape":[1]'), [0, 0, 0, 0])],
    ['negative size', 'header', file(entry('"dtype":"F32","shape":[-1],"data_offsets":[0,4]'), [0, 0, 0, 0])],
    ['fractional size', 'header', file(entry('"dtype":"F32","shape":[0.5],"data_offsets":[0,2]'), [0, 0])],
    ['unknown type', 'dtype', file(entry('"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]'), [0])],
    [
      'type named like an object method',
      'dtype',
      file(entry('"dtype":"toString","shape":[1],"data_offsets":[0,1]'), [0]),
    ],
    ['shape that does not fit', 'shape', file(entry('"dtype":"F32","shape":[2],"data_offsets":[0,4]'), [0, 0, 0, 0])],
    [
      'shape that overflows',
      'shape',
      file(entry(`"dtype":"U8","shape":[${Array(40).fill(2 ** 50)}],"data_offsets":[0,1]`), [0]),
    ],
    ['reversed offsets', 'shape', file(entry('"dtype":"U8","shape":[0],"data_offsets":[1,0]'), [0])],
    ['unexplained bytes', 'overlap', file(entry('"dtype":"U8","shape":[1],"data_offsets":[0,1]'), [0, 0])],
    ['gap', 'overlap', file(entry('"dtype":"U8","shape":[1],"data_offsets":[1,2]'), [0, 0])],
    [
      'overlap',
      'overlap',
      file(
        '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}',
        [0, 0, 0],
      ),
    ],
  ])('%s is refused as safetensors/%s', (_what, expected, bytes) => {
    expect(() => parseSafetensors(bytes, 'x.safetensors')).toThrow(code(expected));
    expect(() => parseSafetensors(bytes, 'x.safetensors')).toThrow(/x\.safetensors/);
    const path = join(folder, 'hostile');
    writeFileSync(path, bytes);
    expect(() => readSafetensors(path)).toThrow(code(expected));
  });

  property.prop(
    [
      fc.array(fc.tuple(fc.nat(HAND_MADE.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.nat(HAND_MADE.length),
    ],
    {
      numRuns: 400,
    },
  )('damaged bytes give a result or a named error, never a crash', (edits, keep) => {
    const bytes = Uint8Array.from(HAND_MADE);
    for (const [at, value] of edits) bytes[at] = value;
    for (const damaged of [bytes, bytes.subarray(0, keep)]) {
      try {
        parseSafetensors(damaged, 'x');
      } catch (error) {
        expect(error).toBeInstanceOf(NorthlightError);
      }
    }
  });

  test('a folder and a missing file are named', () => {
    expect(() => readSafetensors(folder)).toThrow(expect.objectContaining({ code: 'file/is-folder' }));
    expect(() => readSafetensors(join(folder, 'none'))).toThrow(expect.objectContaining({ code: 'file/missing' }));
  });
});
