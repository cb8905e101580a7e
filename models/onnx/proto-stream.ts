import { readAt } from '#models/files.ts';
import { decodeText, ProtoFault, ProtoReader } from '#models/onnx/proto.ts';

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

/** Read at once. Between two tensors that are skipped lie a few hundred bytes of names and shapes. */
const WINDOW_BYTES = 1 << 14;
/** A name or a type is far shorter; what claims more is not one. */
const SMALL_BYTES = 1 << 20;

/** An open file of which a window is in memory. */
interface Source {
  readonly fd: number;
  readonly path: string;
  start: number;
  bytes: Uint8Array;
}

/**
 * Walks the fields of a message as `ProtoReader` does, but in a file: what is skipped is never read. Field numbers come from
 * `next()` (0 at the end), then exactly one value method takes the value. Every method throws `ProtoFault` rather than read
 * outside the message.
 */
export class ProtoStream {
  readonly depth: number;
  readonly #source: Source;
  readonly #end: number;
  #pos: number;
  #wire = VARINT;

  constructor(source: Source, start: number, end: number, depth: number) {
    this.#source = source;
    this.#pos = start;
    this.#end = end;
    this.depth = depth;
  }

  /** The outermost message of an open file. `path` only names it in errors. */
  static of(fd: number, sizeBytes: number, path: string): ProtoStream {
    return new ProtoStream({ fd, path, start: 0, bytes: new Uint8Array(0) }, 0, sizeBytes, 0);
  }

  /** Where in the file the next byte to be read is. */
  get position(): number {
    return this.#pos;
  }

  next(): number {
    if (this.#pos >= this.#end) return 0;
    const tag = this.#unsigned();
    this.#wire = tag % 8;
    const field = Math.floor(tag / 8);
    if (field === 0 || field > 0x1fffffff) throw this.#fault(`${field} is not a field number`);
    return field;
  }

  /** Leaves the value unread and returns how many bytes it has; 0 for a single number. */
  skip(): number {
    if (this.#wire === LENGTH) {
      const length = this.#unsigned();
      this.#take(length);
      return length;
    }
    if (this.#wire === VARINT) this.#unsigned();
    else if (this.#wire === FIXED64) this.#take(8);
    else if (this.#wire === FIXED32) this.#take(4);
    else throw this.#fault(`unknown wire type ${this.#wire}`);
    return 0;
  }

  /** A 64-bit integer in two's complement; rounded beyond 2⁵³. */
  int(): number {
    this.#expect(VARINT);
    const { low, high } = this.#varint();
    return (high >= 2 ** 35 ? high - 2 ** 36 : high) * 2 ** 28 + low;
  }

  string(): string {
    const text = decodeText(this.#small());
    if (text === undefined) throw this.#fault('a text is not UTF-8');
    return text;
  }

  /** A message to be walked in the file. */
  message(): ProtoStream {
    this.#expect(LENGTH);
    const length = this.#unsigned();
    const start = this.#take(length);
    return new ProtoStream(this.#source, start, start + length, this.depth + 1);
  }

  /** A small message, read whole. */
  smallMessage<T>(parse: (r: ProtoReader) => T): T {
    const bytes = this.#small();
    try {
      return parse(new ProtoReader(bytes, 0, undefined, this.depth + 1));
    } catch (error) {
      if (!(error instanceof ProtoFault)) throw error;
      // It counts from the start of the message; a person looks for the place in the file.
      const offset = this.#pos - bytes.length + error.offset;
      throw new ProtoFault(error.message, error.overrun, error.depth, offset);
    }
  }

  /** Appends one repeated integer field, packed or not. */
  ints(out: number[]): void {
    if (this.#wire !== LENGTH) {
      out.push(this.int());
      return;
    }
    const length = this.#unsigned();
    const start = this.#take(length);
    const inner = new ProtoStream(this.#source, start, start + length, this.depth);
    while (inner.#pos < inner.#end) out.push(inner.int());
  }

  #small(): Uint8Array {
    this.#expect(LENGTH);
    const length = this.#unsigned();
    const start = this.#take(length);
    if (length > SMALL_BYTES) throw this.#fault(`a name or type of ${length} bytes`);
    this.#load(start, length);
    const from = start - this.#source.start;
    return this.#source.bytes.slice(from, from + length);
  }

  #expect(wire: number): void {
    if (this.#wire !== wire) throw this.#fault(`wire type ${this.#wire} where ${wire} belongs`);
  }

  /** Moves past `length` bytes and returns where they start. */
  #take(length: number): number {
    const start = this.#pos;
    if (length > this.#end - start)
      throw this.#fault(`${length} bytes are announced, ${this.#end - start} are left`, true);
    this.#pos = start + length;
    return start;
  }

  #unsigned(): number {
    const { low, high } = this.#varint();
    return high * 2 ** 28 + low;
  }

  /** The lower 28 and the upper 36 bits. */
  #varint(): { low: number; high: number } {
    let low = 0;
    let high = 0;
    for (let k = 0; k < 10; k++) {
      if (this.#pos >= this.#end) throw this.#fault('the bytes end inside a number', true);
      this.#load(this.#pos, 1);
      const b = this.#source.bytes[this.#pos++ - this.#source.start]!;
      if (k < 4) low += (b & 0x7f) * 2 ** (7 * k);
      // Only one bit of the tenth byte belongs to the number.
      else high += (b & (k === 9 ? 1 : 0x7f)) * 2 ** (7 * (k - 4));
      if (b < 0x80) return { low, high };
    }
    throw this.#fault('a number is longer than 64 bits');
  }

  /** Sees to it that these bytes of the file are in the window. */
  #load(start: number, length: number): void {
    const source = this.#source;
    if (start >= source.start && start + length <= source.start + source.bytes.length) return;
    source.bytes = readAt(source.fd, start, Math.max(length, WINDOW_BYTES), source.path);
    source.start = start;
    // The file shrank since its size was taken.
    if (source.bytes.length < length) throw this.#fault('the file ends early', true);
  }

  #fault(message: string, overrun = false): ProtoFault {
    return new ProtoFault(message, overrun, this.depth, this.#pos);
  }
}
