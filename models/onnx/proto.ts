/** The protobuf wire format, by hand: just what ONNX files use. https://protobuf.dev/programming-guides/encoding/ */

/** Bytes that are not a valid message. `overrun`: something claims more bytes than there are. `depth` 0 is the outermost message. */
export class ProtoFault extends Error {
  readonly overrun: boolean;
  readonly depth: number;
  readonly offset: number;

  constructor(message: string, overrun: boolean, depth: number, offset: number) {
    super(message);
    this.name = 'ProtoFault';
    this.overrun = overrun;
    this.depth = depth;
    this.offset = offset;
  }
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

// A byte order mark is content here, and bytes that are not UTF-8 are an error rather than a silent replacement.
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const ENCODER = new TextEncoder();

/** Undefined for bytes that are not UTF-8. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return DECODER.decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * Walks the fields of one message: `next()` gives the field number (0 at the end), then exactly one of the value methods
 * takes the value. Every method throws `ProtoFault` rather than read outside the message.
 */
export class ProtoReader {
  readonly bytes: Uint8Array;
  readonly depth: number;
  #pos: number;
  readonly #end: number;
  #wire = VARINT;
  #low = 0;
  #high = 0;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length, depth = 0) {
    this.bytes = bytes;
    this.#pos = start;
    this.#end = end;
    this.depth = depth;
  }

  next(): number {
    if (this.#pos >= this.#end) return 0;
    this.#varint();
    this.#wire = this.#low & 7;
    const field = this.#high * 0x20000000 + (this.#low >>> 3);
    if (field === 0 || field > 0x1fffffff) throw this.#fault(`${field} is not a field number`);
    return field;
  }

  skip(): void {
    if (this.#wire === VARINT) this.#varint();
    else if (this.#wire === LENGTH) this.#take(this.#length());
    else this.#take(this.#fixedSize());
  }

  /** A 64-bit integer in two's complement; rounded beyond 2⁵³. */
  int(): number {
    this.#expect(VARINT);
    this.#varint();
    return (this.#high | 0) * 2 ** 32 + (this.#low >>> 0);
  }

  float(): number {
    this.#expect(FIXED32);
    return this.#view(this.#take(4)).getFloat32(0, true);
  }

  /** A view, not a copy. */
  view(): Uint8Array {
    this.#expect(LENGTH);
    const length = this.#length();
    const start = this.#take(length);
    return this.bytes.subarray(start, start + length);
  }

  string(): string {
    const text = decodeText(this.view());
    if (text === undefined) throw this.#fault('a text is not UTF-8');
    return text;
  }

  message(): ProtoReader {
    this.#expect(LENGTH);
    const length = this.#length();
    const start = this.#take(length);
    return new ProtoReader(this.bytes, start, start + length, this.depth + 1);
  }

  /** Appends one repeated integer field, packed or not. */
  ints(out: number[]): void {
    this.#repeated(VARINT, () => {
      this.#varint();
      out.push((this.#high | 0) * 2 ** 32 + (this.#low >>> 0));
    });
  }

  /** As `ints`, keeping all 64 bits (as an unsigned pattern). */
  bigints(out: bigint[]): void {
    this.#repeated(VARINT, () => {
      this.#varint();
      const small = this.#high === 0;
      out.push(small ? BigInt(this.#low >>> 0) : (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0));
    });
  }

  floats(out: number[]): void {
    this.#repeated(FIXED32, () => out.push(this.#view(this.#take(4)).getFloat32(0, true)));
  }

  /** Appends the bytes of one repeated float (4) or double (8) field, packed or not, as views. */
  fixed(out: Uint8Array[], sizeBytes: 4 | 8): void {
    if (this.#wire === LENGTH) {
      const chunk = this.view();
      if (chunk.length % sizeBytes !== 0) throw this.#fault('a list of numbers ends inside a number');
      out.push(chunk);
      return;
    }
    this.#expect(sizeBytes === 4 ? FIXED32 : FIXED64);
    const start = this.#take(sizeBytes);
    out.push(this.bytes.subarray(start, start + sizeBytes));
  }

  #repeated(wire: number, one: () => void): void {
    if (this.#wire !== LENGTH) {
      this.#expect(wire);
      one();
      return;
    }
    const length = this.#length();
    const end = this.#pos + length;
    if (end > this.#end) throw this.#fault('a list is longer than what holds it', true);
    while (this.#pos < end) one();
    if (this.#pos !== end) throw this.#fault('a list of numbers ends inside a number');
  }

  #expect(wire: number): void {
    if (this.#wire !== wire) throw this.#fault(`wire type ${this.#wire} where ${wire} belongs`);
  }

  #fixedSize(): number {
    if (this.#wire === FIXED64) return 8;
    if (this.#wire === FIXED32) return 4;
    throw this.#fault(`unknown wire type ${this.#wire}`);
  }

  #length(): number {
    this.#varint();
    return (this.#high >>> 0) * 2 ** 32 + (this.#low >>> 0);
  }

  /** Moves past `length` bytes and returns where they start. */
  #take(length: number): number {
    const start = this.#pos;
    if (length > this.#end - start)
      throw this.#fault(`${length} bytes are announced, ${this.#end - start} are left`, true);
    this.#pos = start + length;
    return start;
  }

  #varint(): void {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#pos >= this.#end) throw this.#fault('the bytes end inside a number', true);
      const b = this.bytes[this.#pos++]!;
      if (shift < 28) low |= (b & 0x7f) << shift;
      else if (shift === 28) {
        low |= (b & 0x0f) << 28;
        high = (b & 0x7f) >> 4;
      } else high |= (b & 0x7f) << (shift - 32);
      if (b < 0x80) {
        this.#low = low;
        this.#high = high;
        return;
      }
    }
    throw this.#fault('a number is longer than 64 bits');
  }

  #view(offset: number): DataView {
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + offset);
  }

  #fault(message: string, overrun = false): ProtoFault {
    return new ProtoFault(message, overrun, this.depth, this.#pos);
  }
}

/** Messages up to this size are copied into their parent; larger ones are passed on by reference, so weights are never copied. */
const COPY_LIMIT = 4096;

/** Builds one message as a list of byte chunks. Fields appear in the order of the calls. */
export class ProtoWriter {
  readonly #parts: Uint8Array[] = [];
  #partBytes = 0;
  #buffer = new Uint8Array(64);
  #used = 0;

  get length(): number {
    return this.#partBytes + this.#used;
  }

  /** The chunks in order. The writer must not be used afterwards. */
  parts(): Uint8Array[] {
    this.#flush();
    return this.#parts;
  }

  /** A signed 64-bit integer; a number is clamped to the range, so that 2⁶³ means the largest. */
  int(field: number, value: number | bigint): void {
    this.#tag(field, VARINT);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) this.#varint(value);
    else this.#bigVarint(BigInt.asUintN(64, clamp(BigInt(value))));
  }

  float(field: number, value: number): void {
    this.#tag(field, FIXED32);
    this.#reserve(4);
    new DataView(this.#buffer.buffer).setFloat32(this.#used, value, true);
    this.#used += 4;
  }

  string(field: number, value: string): void {
    this.bytes(field, ENCODER.encode(value));
  }

  bytes(field: number, value: Uint8Array): void {
    this.#tag(field, LENGTH);
    this.#varint(value.length);
    this.#append(value);
  }

  message(field: number, fill: (child: ProtoWriter) => void): void {
    const child = new ProtoWriter();
    fill(child);
    this.#tag(field, LENGTH);
    this.#varint(child.length);
    for (const part of child.parts()) this.#append(part);
  }

  #append(bytes: Uint8Array): void {
    if (bytes.length > COPY_LIMIT) {
      this.#flush();
      this.#parts.push(bytes);
      this.#partBytes += bytes.length;
    } else {
      this.#reserve(bytes.length);
      this.#buffer.set(bytes, this.#used);
      this.#used += bytes.length;
    }
  }

  #flush(): void {
    if (this.#used === 0) return;
    this.#parts.push(this.#buffer.subarray(0, this.#used));
    this.#partBytes += this.#used;
    this.#buffer = new Uint8Array(64);
    this.#used = 0;
  }

  #tag(field: number, wire: number): void {
    this.#varint(field * 8 + wire);
  }

  #varint(value: number): void {
    this.#reserve(10);
    let v = value;
    while (v >= 0x80) {
      this.#buffer[this.#used++] = (v % 0x80) | 0x80;
      v = Math.floor(v / 0x80);
    }
    this.#buffer[this.#used++] = v;
  }

  #bigVarint(value: bigint): void {
    this.#reserve(10);
    let v = value;
    while (v >= 0x80n) {
      this.#buffer[this.#used++] = Number(v & 0x7fn) | 0x80;
      v >>= 7n;
    }
    this.#buffer[this.#used++] = Number(v);
  }

  #reserve(extra: number): void {
    if (this.#used + extra <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#used + extra));
    grown.set(this.#buffer.subarray(0, this.#used));
    this.#buffer = grown;
  }
}

function clamp(v: bigint): bigint {
  if (v >= 2n ** 63n) return 2n ** 63n - 1n;
  return v < -(2n ** 63n) ? -(2n ** 63n) : v;
}
