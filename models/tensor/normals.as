// Standard normals from Philox4x32-10, four blocks of random words and two pairs at a time: byte for byte what `Rng` (rng.ts) makes one by
// one. WebAssembly rounds each operation as JavaScript does, and their order is the same here. AssemblyScript; compiled to
// normals-wasm.ts by build/scripts/compile-normals.ts.

// @ts-ignore: decorator
@inline
function f(x: f64): v128 {
  return f64x2.splat(x);
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
function series(c: f64, x: v128, rest: v128): v128 {
  return add(f(c), mul(x, rest));
}

/** In the middle of its interval of 2⁻³². */
// @ts-ignore: decorator
@inline
function uniform(words: v128): v128 {
  return mul(add(f64x2.convert_low_i32x4_u(words), f(0.5)), f(2.3283064365386963e-10));
}

/** `normalPair` of the first two words of w0 and w1: first, second, first, second as float32. */
function pairs(w0: v128, w1: v128): v128 {
  // u = m · 2^−e with m from ½ to 1, read off its bits; 2⁵² + exponent as a number has the exponent as its last bits.
  const u = uniform(w0);
  const exponent = sub(v128.or(i64x2.shr_u(u, 52), i64x2.splat(0x4330000000000000)), f(4503599627370496));
  const e = sub(f(1022), exponent);
  const m = v128.or(v128.and(u, i64x2.splat(0x000fffffffffffff)), i64x2.splat(0x3fe0000000000000));
  const s = f64x2.div(sub(m, f(1)), add(m, f(1)));
  const q = mul(s, s);
  const q2 = mul(q, q);
  let even = series(1.0 / 17, f64x2.div(q2, f(21)), f(1));
  even = series(1.0 / 13, q2, even);
  even = series(1.0 / 9, q2, even);
  even = series(1.0 / 5, q2, even);
  even = series(1, q2, even);
  let uneven = series(1.0 / 15, f64x2.div(q2, f(19)), f(1));
  uneven = series(1.0 / 11, q2, uneven);
  uneven = series(1.0 / 7, q2, uneven);
  uneven = series(1.0 / 3, q2, uneven);
  const logM = mul(mul(f(2), s), add(even, mul(q, uneven)));
  const radius = f64x2.sqrt(mul(f(2), sub(mul(e, f(0.6931471805599453)), logM)));
  // v = quarter/4 + x/2π with |x| at most π/4
  const v = uniform(w1);
  const quarter = f64x2.floor(add(mul(f(4), v), f(0.5)));
  const x = mul(f(6.283185307179586), sub(v, mul(quarter, f(0.25))));
  const y = mul(x, x);
  let sin = series(1.0 / 362880, y, f(-1.0 / 39916800));
  sin = series(-1.0 / 5040, y, sin);
  sin = series(1.0 / 120, y, sin);
  sin = series(-1.0 / 6, y, sin);
  sin = mul(x, series(1, y, sin));
  let cos = series(-1.0 / 3628800, y, f(1.0 / 479001600));
  cos = series(1.0 / 40320, y, cos);
  cos = series(-1.0 / 720, y, cos);
  cos = series(1.0 / 24, y, cos);
  cos = series(-1.0 / 2, y, cos);
  cos = series(1, y, cos);
  // Cosine and sine of whole quarter turns 0 … 4: 1 0 −1 0 1 and 0 1 0 −1 0.
  const c = sub(f64x2.abs(sub(quarter, f(2))), f(1));
  const t = mul(sub(quarter, f(2)), sub(mul(c, c), f(1)));
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
