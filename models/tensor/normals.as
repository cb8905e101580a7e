// Standard normals from Philox4x32-10, four blocks of random words and two pairs at a time: byte for byte what `Rng` (rng.ts) makes one by
// one. WebAssembly rounds each operation as JavaScript does, and their order is the same here. AssemblyScript; compiled to
// normals-wasm.ts by build/scripts/compile-normals.ts.

/** To load a constant is one instruction, to build it in a register three: a third of the time. */
const enum K {
  half,
  one,
  two,
  four,
  quarter,
  bias,
  twoTo52,
  twoToMinus32,
  ln2,
  twoPi,
  log5,
  log9,
  log13,
  log17,
  log21,
  log3,
  log7,
  log11,
  log15,
  log19,
  sin3,
  sin5,
  sin7,
  sin9,
  sin11,
  cos2,
  cos4,
  cos6,
  cos8,
  cos10,
  cos12,
}
const TABLE: usize = memory.data<f64>([
  0.5,
  1,
  2,
  4,
  0.25,
  1022,
  4503599627370496,
  2.3283064365386963e-10,
  0.6931471805599453,
  6.283185307179586,
  1.0 / 5,
  1.0 / 9,
  1.0 / 13,
  1.0 / 17,
  1.0 / 21,
  1.0 / 3,
  1.0 / 7,
  1.0 / 11,
  1.0 / 15,
  1.0 / 19,
  -1.0 / 6,
  1.0 / 120,
  -1.0 / 5040,
  1.0 / 362880,
  -1.0 / 39916800,
  -1.0 / 2,
  1.0 / 24,
  -1.0 / 720,
  1.0 / 40320,
  -1.0 / 3628800,
  1.0 / 479001600,
]);

// @ts-ignore: decorator
@inline
function k(index: usize): v128 {
  return v128.load64_splat(TABLE + (index << 3));
}

// @ts-ignore: decorator
@inline
function add(a: v128, b: v128): v128 {
  return f64x2.add(a, b);
}

// @ts-ignore: decorator
@inline
function sub(a: v128, b: v128): v128 {
  return f64x2.sub(a, b);
}

// @ts-ignore: decorator
@inline
function mul(a: v128, b: v128): v128 {
  return f64x2.mul(a, b);
}

/** c + x·rest: a power series, one term at a time. */
// @ts-ignore: decorator
@inline
function series(c: v128, x: v128, rest: v128): v128 {
  return add(c, mul(x, rest));
}

/** In the middle of its interval of 2⁻³². */
// @ts-ignore: decorator
@inline
function uniform(words: v128): v128 {
  return mul(add(f64x2.convert_low_i32x4_u(words), k(K.half)), k(K.twoToMinus32));
}

/** `normalPair` of the first two words of w0 and w1: first, second, first, second as float32. */
function pairs(w0: v128, w1: v128): v128 {
  // u = m · 2^−e with m from ½ to 1, read off its bits; 2⁵² + exponent as a number has the exponent as its last bits.
  const u = uniform(w0);
  const exponent = sub(v128.or(i64x2.shr_u(u, 52), i64x2.splat(0x4330000000000000)), k(K.twoTo52));
  const e = sub(k(K.bias), exponent);
  const m = v128.or(v128.and(u, i64x2.splat(0x000fffffffffffff)), i64x2.splat(0x3fe0000000000000));
  const s = f64x2.div(sub(m, k(K.one)), add(m, k(K.one)));
  const q = mul(s, s);
  const q2 = mul(q, q);
  let even = series(k(K.log17), q2, k(K.log21));
  even = series(k(K.log13), q2, even);
  even = series(k(K.log9), q2, even);
  even = series(k(K.log5), q2, even);
  even = series(k(K.one), q2, even);
  let uneven = series(k(K.log15), q2, k(K.log19));
  uneven = series(k(K.log11), q2, uneven);
  uneven = series(k(K.log7), q2, uneven);
  uneven = series(k(K.log3), q2, uneven);
  const logM = mul(mul(k(K.two), s), add(even, mul(q, uneven)));
  const radius = f64x2.sqrt(mul(k(K.two), sub(mul(e, k(K.ln2)), logM)));
  // v = quarter/4 + x/2π with |x| at most π/4
  const v = uniform(w1);
  const quarter = f64x2.floor(add(mul(k(K.four), v), k(K.half)));
  const x = mul(k(K.twoPi), sub(v, mul(quarter, k(K.quarter))));
  const y = mul(x, x);
  let sin = series(k(K.sin9), y, k(K.sin11));
  sin = series(k(K.sin7), y, sin);
  sin = series(k(K.sin5), y, sin);
  sin = series(k(K.sin3), y, sin);
  sin = mul(x, series(k(K.one), y, sin));
  let cos = series(k(K.cos10), y, k(K.cos12));
  cos = series(k(K.cos8), y, cos);
  cos = series(k(K.cos6), y, cos);
  cos = series(k(K.cos4), y, cos);
  cos = series(k(K.cos2), y, cos);
  cos = series(k(K.one), y, cos);
  // Cosine and sine of whole quarter turns 0 … 4: 1 0 −1 0 1 and 0 1 0 −1 0.
  const c = sub(f64x2.abs(sub(quarter, k(K.two))), k(K.one));
  const t = mul(sub(quarter, k(K.two)), sub(mul(c, c), k(K.one)));
  const first = f32x4.demote_f64x2_zero(mul(radius, sub(mul(c, cos), mul(t, sin))));
  const second = f32x4.demote_f64x2_zero(mul(radius, add(mul(t, cos), mul(c, sin))));
  return v128.shuffle<i32>(first, second, 0, 4, 1, 5);
}

/** The eight normals of the first two blocks of words, to `out`. */
function store(x0: v128, x1: v128, x2: v128, x3: v128, out: usize): void {
  const a = pairs(x0, x1);
  const b = pairs(x2, x3);
  v128.store(out, v128.shuffle<i64>(a, b, 0, 2));
  v128.store(out, v128.shuffle<i64>(a, b, 1, 3), 16);
}

// @ts-ignore: decorator
@inline
function lowHalf(p: v128, q: v128): v128 {
  return v128.shuffle<i32>(p, q, 0, 2, 4, 6);
}

// @ts-ignore: decorator
@inline
function highHalf(p: v128, q: v128): v128 {
  return v128.shuffle<i32>(p, q, 1, 3, 5, 7);
}

// @ts-ignore: decorator
@inline
function last(words: v128): v128 {
  return v128.shuffle<i64>(words, words, 1, 1);
}

/**
 * Normals of `blocks` blocks from counter (c0, c1, c2, c3) with key (k0, k1), as float32 to `out`. `blocks` is a multiple of 4 and c0 does
 * not overflow on the way.
 */
export function fill(c0: i32, c1: i32, c2: i32, c3: i32, k0: i32, k1: i32, blocks: i32, out: usize): void {
  for (let i = 0; i < blocks; i += 4) {
    let x0 = i32x4.add(i32x4.splat(c0 + i), i32x4(0, 1, 2, 3));
    let x1 = i32x4.splat(c1);
    let x2 = i32x4.splat(c2);
    let x3 = i32x4.splat(c3);
    let a = k0;
    let b = k1;
    for (let round = 0; round < 10; round++) {
      const p = i64x2.extmul_low_i32x4_u(x0, i32x4.splat(0xd2511f53));
      const pp = i64x2.extmul_high_i32x4_u(x0, i32x4.splat(0xd2511f53));
      const q = i64x2.extmul_low_i32x4_u(x2, i32x4.splat(0xcd9e8d57));
      const qq = i64x2.extmul_high_i32x4_u(x2, i32x4.splat(0xcd9e8d57));
      x0 = v128.xor(v128.xor(highHalf(q, qq), x1), i32x4.splat(a));
      x1 = lowHalf(q, qq);
      x2 = v128.xor(v128.xor(highHalf(p, pp), x3), i32x4.splat(b));
      x3 = lowHalf(p, pp);
      a += 0x9e3779b9;
      b += 0xbb67ae85;
    }
    store(x0, x1, x2, x3, out);
    store(last(x0), last(x1), last(x2), last(x3), out + 32);
    out += 64;
  }
}
