import { NorthlightError } from '#models/errors.ts';
import { NORMALS_WASM } from './normals-wasm.ts';

/**
 * Philox4x32-10: ten rounds that turn a 128-bit counter and a 64-bit key into 128 random bits.
 * Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3; checked against the
 * known answers published with Random123. Writes the four words, as signed 32-bit patterns, to `out`.
 */
export function philox4x32(
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
  out: Int32Array,
): void {
  let x0 = c0 | 0;
  let x1 = c1 | 0;
  let x2 = c2 | 0;
  let x3 = c3 | 0;
  let a = k0 | 0;
  let b = k1 | 0;
  for (let round = 0; round < 10; round++) {
    const h0 = mulHigh(x0, 0xd251, 0x1f53);
    const l0 = Math.imul(x0, 0xd2511f53);
    const h1 = mulHigh(x2, 0xcd9e, 0x8d57);
    const l1 = Math.imul(x2, 0xcd9e8d57);
    x0 = h1 ^ x1 ^ a;
    x1 = l1;
    x2 = h0 ^ x3 ^ b;
    x3 = l0;
    a = (a + 0x9e3779b9) | 0;
    b = (b + 0xbb67ae85) | 0;
  }
  out[0] = x0;
  out[1] = x1;
  out[2] = x2;
  out[3] = x3;
}

/** High 32 bits of the unsigned product x · (mh·2¹⁶ + ml), from 16-bit halves so that nothing leaves 32-bit integers. */
function mulHigh(x: number, mh: number, ml: number): number {
  const xl = x & 0xffff;
  const xh = x >>> 16;
  const middle = (Math.imul(xh, ml) + (Math.imul(xl, ml) >>> 16)) | 0;
  const carry = (Math.imul(xl, mh) + (middle & 0xffff)) | 0;
  return (Math.imul(xh, mh) + (middle >>> 16) + (carry >>> 16)) | 0;
}

const pair = new Float64Array(2);
/** Of whole quarter turns. */
const COSINES = Float64Array.of(1, 0, -1, 0, 1);
const SINES = Float64Array.of(0, 1, 0, -1, 0);
const POWERS_OF_TWO = Float64Array.from({ length: 33 }, (_, i) => 2 ** i);

/**
 * Two independent standard normals from two random words, to `out` from `at`: √(−2 ln u)·(cos 2πv, sin 2πv), with u and v in the middle of
 * their 2³² intervals. Logarithm (as artanh), cosine and sine are power series with an error below 2e-10, less than float32 can tell:
 * noise is made at every step, and calls into the library took half of its time. `pairs` in normals.as does the same, in this order.
 */
function normalPair(w0: number, w1: number, out: Float32Array | Float64Array, at: number): void {
  // u = m · 2^−e with m from ½ to 1
  const e = Math.clz32(w0);
  const m = ((w0 >>> 0) + 0.5) * 2 ** -32 * POWERS_OF_TWO[e]!;
  const s = (m - 1) / (m + 1);
  const q = s * s;
  const q2 = q * q;
  const even = 1 + q2 * (1 / 5 + q2 * (1 / 9 + q2 * (1 / 13 + q2 * (1 / 17 + q2 * (1 / 21)))));
  const uneven = 1 / 3 + q2 * (1 / 7 + q2 * (1 / 11 + q2 * (1 / 15 + q2 * (1 / 19))));
  const logM = 2 * s * (even + q * uneven);
  const radius = Math.sqrt(2 * (e * Math.LN2 - logM));
  // v = quarter/4 + x/2π with |x| at most π/4
  const v = ((w1 >>> 0) + 0.5) * 2 ** -32;
  const quarter = Math.floor(4 * v + 0.5);
  const x = 2 * Math.PI * (v - quarter / 4);
  const y = x * x;
  const sin = x * (1 + y * (-1 / 6 + y * (1 / 120 + y * (-1 / 5040 + y * (1 / 362880 + y * (-1 / 39916800))))));
  const cos =
    1 + y * (-1 / 2 + y * (1 / 24 + y * (-1 / 720 + y * (1 / 40320 + y * (-1 / 3628800 + y * (1 / 479001600))))));
  // No branches on what is random: they cost more than the arithmetic.
  const c = COSINES[quarter]!;
  const t = SINES[quarter]!;
  out[at] = radius * (c * cos - t * sin);
  out[at + 1] = radius * (t * cos + c * sin);
}

/** Blocks that are made in one call: their normals take 16 kB. */
const MANY = 1024;
/** Behind the constants of normals.as. */
const NORMALS_AT = 32_768;
interface Many {
  fill(c0: number, c1: number, c2: number, c3: number, k0: number, k1: number, blocks: number, out: number): void;
  /** What `fill` writes at `NORMALS_AT`. */
  readonly normals: Float32Array;
}
/** Compiled at the first need. */
let many: Many | undefined;

function openMany(): Many {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(NORMALS_WASM, 'base64')));
  const { fill, memory } = exports as { fill: Many['fill']; memory: WebAssembly.Memory };
  return { fill, normals: new Float32Array(memory.buffer, NORMALS_AT, 4 * MANY) };
}

/** Set in the second counter word of every label header, where no draw ever counts to: forks and draws cannot meet. */
const FORK_BIT = 0x80000000;

/**
 * A seeded random stream, counter based: what it yields depends on the seed, the fork labels and the position alone.
 * The stream of a bare seed is Philox with the seed as key and counter 0, 1, 2, …
 */
export class Rng {
  /** Key (two words) and upper counter half (two words): the identity of the stream, 128 bits. */
  readonly #id: Int32Array;
  /** Made at the first draw: most streams are only forked. */
  #words: Int32Array | null = null;
  #left = 0;
  #counter = 0;
  #counterHigh = 0;
  /** The second half of a Box–Muller pair; NaN when there is none. */
  #spare = Number.NaN;

  /** @param seed an integer of at most 64 bits; −1 is the same seed as 2⁶⁴ − 1. */
  constructor(seed: number | bigint) {
    this.#id = new Int32Array(4);
    if (typeof seed === 'number' && !Number.isSafeInteger(seed)) {
      throw new NorthlightError(
        'rng/seed',
        `The seed ${seed} is not a whole number.`,
        'Use a whole number below 2^53.',
      );
    }
    if (typeof seed === 'bigint' && (seed < -(2n ** 63n) || seed >= 2n ** 64n)) {
      throw new NorthlightError('rng/seed', `The seed ${seed} has more than 64 bits.`, 'Use a smaller seed.');
    }
    this.#id[0] = typeof seed === 'number' ? seed | 0 : Number(BigInt.asIntN(32, seed));
    this.#id[1] = typeof seed === 'number' ? Math.floor(seed / 2 ** 32) | 0 : Number(BigInt.asIntN(32, seed >> 32n));
  }

  /**
   * The child stream named by `labels`, from its start. It depends on this stream's seed and labels, never on how much
   * was drawn, and does not advance this stream. `fork('a', 1)` is `fork('a').fork(1)`; `1` and `'1'` differ.
   */
  fork(...labels: (string | number)[]): Rng {
    const child = new Rng(0);
    child.#id.set(this.#id);
    for (const label of labels) absorb(child.#id, label);
    return child;
  }

  /** The next 32 random bits, 0 … 2³² − 1. */
  word(): number {
    return this.#next() >>> 0;
  }

  /** Uniform on the open interval (0, 1): an odd multiple of 2⁻⁵³, so neither end ever appears. */
  uniform(): number {
    const high = this.#next() >>> 0; // 32 bits
    const low = this.#next() >>> 12; // 20 bits
    return (high * 0x100000 + low + 0.5) * 2 ** -52;
  }

  /** Standard normal, |z| < 6.8: two from two words, by Box and Muller 1958. */
  normal(): number {
    const spare = this.#spare;
    if (!Number.isNaN(spare)) {
      this.#spare = Number.NaN;
      return spare;
    }
    const first = this.#next();
    normalPair(first, this.#next(), pair, 0);
    this.#spare = pair[1]!;
    return pair[0]!;
  }

  /** Standard Gumbel, −ln(−ln u): adding it to log-weights and taking the maximum samples in proportion to the weights. */
  gumbel(): number {
    return -Math.log(-Math.log(this.uniform()));
  }

  /** Uniform on 0 … n − 1, exactly: words that would favour small results are drawn again. */
  int(n: number): number {
    if (!Number.isSafeInteger(n) || n < 1) {
      throw new NorthlightError(
        'rng/range',
        `There is no whole number from 0 to ${n} - 1.`,
        'Ask for a range of 1 or more.',
      );
    }
    const span = n <= 2 ** 32 ? 2 ** 32 : 2 ** 53;
    const limit = span - (span % n);
    for (;;) {
      const w = n <= 2 ** 32 ? this.word() : (this.#next() >>> 11) * 2 ** 32 + this.word();
      if (w < limit) return w % n;
    }
  }

  pick<T>(xs: readonly T[]): T {
    if (xs.length === 0) throw new NorthlightError('rng/range', 'Nothing can be picked from an empty list.');
    return xs[this.int(xs.length)]!;
  }

  /** A shuffled copy (Fisher and Yates). */
  shuffle<T>(xs: readonly T[]): T[] {
    const out = xs.slice();
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      const x = out[i]!;
      out[i] = out[j]!;
      out[j] = x;
    }
    return out;
  }

  /** Fills `out` with what repeated `normal()` would give, rounded to float32, and returns it. */
  fillNormal(out: Float32Array): Float32Array {
    let i = 0;
    // What is left of an earlier draw first; then each block of four words is two pairs.
    while (i < out.length && (this.#left > 0 || !Number.isNaN(this.#spare))) out[i++] = this.normal();
    i = this.#fillMany(out, i);
    for (; i + 3 < out.length; i += 4) {
      const w = this.#block();
      normalPair(w[0]!, w[1]!, out, i);
      normalPair(w[2]!, w[3]!, out, i + 2);
    }
    while (i < out.length) out[i++] = this.normal();
    return out;
  }

  /** Fills `out` with float32 uniforms on the open interval (0, 1), odd multiples of 2⁻²⁴, and returns it. */
  fillUniform(out: Float32Array): Float32Array {
    for (let i = 0; i < out.length; i++) out[i] = ((this.#next() >>> 9) + 0.5) * 2 ** -23;
    return out;
  }

  /** Fills from `i` as far as whole groups of blocks go. @returns where it stopped. */
  #fillMany(out: Float32Array, i: number): number {
    const id = this.#id;
    for (;;) {
      const untilOverflow = 2 ** 32 - (this.#counter >>> 0);
      const blocks = Math.min(MANY, (out.length - i) >> 2, untilOverflow - 1) & ~3;
      if (blocks <= 0) return i;
      many ??= openMany();
      many.fill(this.#counter, this.#counterHigh, id[2]!, id[3]!, id[0]!, id[1]!, blocks, NORMALS_AT);
      const made = blocks * 4;
      out.set(made === many.normals.length ? many.normals : many.normals.subarray(0, made), i);
      this.#counter = (this.#counter + blocks) | 0;
      i += made;
    }
  }

  #next(): number {
    if (this.#left === 0) {
      this.#block();
      this.#left = 4;
    }
    return this.#words![4 - this.#left--]!;
  }

  /** The next four words, whatever is left of the last. */
  #block(): Int32Array {
    const id = this.#id;
    this.#words ??= new Int32Array(4);
    philox4x32(this.#counter, this.#counterHigh, id[2]!, id[3]!, id[0]!, id[1]!, this.#words);
    this.#counter = (this.#counter + 1) | 0;
    if (this.#counter === 0) this.#counterHigh++;
    return this.#words;
  }
}

const ENCODER = new TextEncoder();

/**
 * Hashes a label into a stream's identity: Merkle–Damgård over 8-byte blocks with Philox as the compression function
 * (identity → key and upper counter, block → lower counter) and the old identity added back (Davies–Meyer).
 */
function absorb(id: Int32Array, label: string | number): void {
  if (typeof label === 'number') {
    // Adding 0 makes one label of 0 and −0.
    number[0] = label + 0;
    compress(id, 1, FORK_BIT | 8);
    compress(id, numberWords[0]!, numberWords[1]!);
    return;
  }
  let blocks = texts.get(label);
  if (blocks === undefined) {
    const content = ENCODER.encode(label);
    const padded = new Uint8Array(Math.ceil(content.length / 8) * 8);
    padded.set(content);
    blocks = { length: content.length, words: new Int32Array(padded.buffer) };
    if (texts.size < 1024) texts.set(label, blocks);
  }
  compress(id, 2, FORK_BIT | blocks.length);
  for (let i = 0; i < blocks.words.length; i += 2) compress(id, blocks.words[i]!, blocks.words[i + 1]!);
}

/** Labels are few and come back often. */
const texts = new Map<string, { readonly length: number; readonly words: Int32Array }>();
const number = new Float64Array(1);
const numberWords = new Int32Array(number.buffer);

const scratch = new Int32Array(4);

function compress(id: Int32Array, b0: number, b1: number): void {
  philox4x32(b0, b1, id[2]!, id[3]!, id[0]!, id[1]!, scratch);
  for (let i = 0; i < 4; i++) id[i]! ^= scratch[i]!;
}
