import { concatBytes, plainBytes } from '#models/bytes.ts';
import { NorthlightError } from '#models/errors.ts';
import { readAt, replaceFile, withFile } from '#models/files.ts';
import { BYTES_PER_ELEMENT, type DType, fromBytes, type Tensor, toBytes } from '#models/tensor/tensor.ts';

/**
 * The safetensors container: 8-byte little-endian header length, JSON header
 * `{ name: { dtype, shape, data_offsets: [begin, end] }, __metadata__: { string: string } }`, then the bytes.
 * https://github.com/huggingface/safetensors#format
 */
export interface Safetensors {
  tensors: Map<string, Tensor>;
  metadata: Map<string, string>;
}

const DTYPES: Readonly<Record<string, DType>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U64: 'uint64',
  U32: 'uint32',
  U16: 'uint16',
  U8: 'uint8',
  BOOL: 'bool',
};
const NAMES = new Map(Object.entries(DTYPES).map(([name, dtype]) => [dtype, name]));

/** The reference implementation's limit. */
const MAX_HEADER_BYTES = 100_000_000;
const AGAIN = 'Download or export the file again.';

interface Entry {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads a whole file. Tensors come in the order of their bytes.
 * @throws NorthlightError `safetensors/truncated`, `/header`, `/overlap`, `/shape`, `/dtype`, `/not-safetensors`, or `file/…`.
 */
export function readSafetensors(path: string): Safetensors {
  return withFile(path, (fd, size) => parse(size, (offset, length) => readAt(fd, offset, length, path), path));
}

/** As `readSafetensors`, from bytes; tensors are views of them where alignment allows. `where` names the source in errors. */
export function parseSafetensors(bytes: Uint8Array, where: string): Safetensors {
  const plain = plainBytes(bytes);
  return parse(plain.length, (offset, length) => plain.subarray(offset, offset + length), where);
}

/** Equal tensors and metadata give equal bytes, whatever the order of the maps. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  return concatBytes(encodeParts(tensors, metadata));
}

/** Writes the file atomically. */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): void {
  const parts = encodeParts(tensors, metadata);
  replaceFile(path, (write) => {
    for (const part of parts) write(part);
  });
}

function parse(size: number, read: (offset: number, length: number) => Uint8Array, where: string): Safetensors {
  const fail = (code: string, why: string) => new NorthlightError(`safetensors/${code}`, `${where}: ${why}`, AGAIN);
  if (size < 8)
    throw fail('truncated', size === 0 ? 'the file is empty.' : 'the file is cut short inside its first 8 bytes.');
  const start = Buffer.from(read(0, Math.min(size, 9)));
  const headerBytes = Number(start.readBigUInt64LE(0));
  if (headerBytes > MAX_HEADER_BYTES || (size > 8 && start[8] !== 0x7b)) {
    throw fail('not-safetensors', 'this is not a safetensors file.');
  }
  if (8 + headerBytes > size)
    throw fail('truncated', `the header should have ${headerBytes} bytes, but the file ends before.`);
  const header = parseHeader(read(8, headerBytes), fail);
  const dataStart = 8 + headerBytes;
  const dataBytes = size - dataStart;
  const entries = header.entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end);
  let end = 0;
  for (const entry of entries) {
    if (entry.end > dataBytes) {
      throw fail('truncated', `"${entry.name}" ends at byte ${dataStart + entry.end}, but the file has ${size} bytes.`);
    }
    if (entry.begin < end) throw fail('overlap', `"${entry.name}" shares bytes with the tensor before it.`);
    if (entry.begin > end) throw fail('overlap', `there are unexplained bytes before "${entry.name}".`);
    end = entry.end;
  }
  if (end !== dataBytes) throw fail('overlap', `there are ${dataBytes - end} unexplained bytes at the end.`);
  const tensors = new Map<string, Tensor>();
  for (const { name, dtype, dims, begin, end: entryEnd } of entries) {
    tensors.set(name, fromBytes(dtype, dims, read(dataStart + begin, entryEnd - begin)));
  }
  return { tensors, metadata: header.metadata };
}

type Fail = (code: string, why: string) => NorthlightError;

function parseHeader(bytes: Uint8Array, fail: Fail): { entries: Entry[]; metadata: Map<string, string> } {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw fail('header', 'the header is not valid JSON.');
  }
  if (!isRecord(json)) throw fail('header', 'the header is not a JSON object.');
  const metadata = new Map<string, string>();
  const entries: Entry[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (!isRecord(value)) throw fail('header', `the entry "${name}" is not an object.`);
    if (name !== '__metadata__') {
      entries.push(parseEntry(name, value, fail));
      continue;
    }
    for (const [key, text] of Object.entries(value)) {
      if (typeof text !== 'string') throw fail('header', `the metadata "${key}" is not a text.`);
      metadata.set(key, text);
    }
  }
  return { entries, metadata };
}

function parseEntry(name: string, value: Record<string, unknown>, fail: Fail): Entry {
  const { dtype: dtypeName, shape, data_offsets: offsets } = value;
  const dtype = typeof dtypeName === 'string' && Object.hasOwn(DTYPES, dtypeName) ? DTYPES[dtypeName] : undefined;
  if (dtype === undefined)
    throw fail('dtype', `"${name}" has the element type ${JSON.stringify(dtypeName)}, which is not supported.`);
  if (!isSizes(shape) || !isSizes(offsets) || offsets.length !== 2) {
    throw fail('header', `"${name}" has no valid shape and data_offsets.`);
  }
  const [begin, end] = offsets as [number, number];
  const n = shape.includes(0) ? 0 : shape.reduce((a, b) => a * b, 1);
  if (end - begin !== n * BYTES_PER_ELEMENT[dtype]) {
    throw fail('shape', `"${name}" of shape [${shape.join(', ')}] does not fit its ${end - begin} bytes.`);
  }
  return { name, dtype, dims: shape, begin, end };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= 64 && value.every((v) => Number.isSafeInteger(v) && v >= 0);
}

/** Laid out as the reference writer does: wider types first, then by name; metadata sorted; header padded to 8 bytes. */
function encodeParts(tensors: ReadonlyMap<string, Tensor>, metadata: ReadonlyMap<string, string>): Uint8Array[] {
  const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  const fields: string[] = [];
  const field = (name: string, value: unknown) => fields.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`);
  if (metadata.size > 0) {
    const sorted = [...metadata].sort(([a], [b]) => byText(a, b));
    fields.push(`"__metadata__":{${sorted.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(',')}}`);
  }
  const ordered = [...tensors].sort(
    ([a, x], [b, y]) => BYTES_PER_ELEMENT[y.dtype] - BYTES_PER_ELEMENT[x.dtype] || byText(a, b),
  );
  const data: Uint8Array[] = [];
  let position = 0;
  for (const [name, t] of ordered) {
    const dtype = NAMES.get(t.dtype);
    if (dtype === undefined || name === '__metadata__') {
      throw new NorthlightError(
        'safetensors/dtype',
        `The ${t.dtype} tensor "${name}" cannot be stored in a safetensors file.`,
      );
    }
    const bytes = toBytes(t);
    field(name, { dtype, shape: t.dims, data_offsets: [position, position + bytes.length] });
    position += bytes.length;
    data.push(bytes);
  }
  const text = Buffer.from(`{${fields.join(',')}}`, 'utf8');
  const header = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8), 0);
  text.copy(header, 8);
  return [header, ...data];
}
