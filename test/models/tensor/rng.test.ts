import { readFileSync } from 'node:fs';
import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import { philox4x32, Rng } from '#models/tensor/rng.ts';

/** Two-sided Kolmogorov–Smirnov distance between sorted samples and a distribution function. */
function ksDistance(samples: ArrayLike<number>, cdf: (x: number) => number): number {
  const sorted = Float64Array.from(samples).sort();
  let d = 0;
  for (let i = 0; i < sorted.length; i++) {
    const p = cdf(sorted[i]!);
    d = Math.max(d, Math.abs(p - i / sorted.length), Math.abs(p - (i + 1) / sorted.length));
  }
  return d;
}

/** Normal distribution function by Simpson's rule from 0, good to 1e-9 within ±8. */
function normalCdf(x: number): number {
  const n = 200;
  const h = Math.abs(x) / n;
  let sum = 0;
  for (let i = 0; i <= n; i++) sum += (i === 0 || i === n ? 1 : i % 2 === 1 ? 4 : 2) * Math.exp(-((i * h) ** 2) / 2);
  return 0.5 + (Math.sign(x) * sum * h) / 3 / Math.sqrt(2 * Math.PI);
}

describe('Philox4x32-10', () => {
  // kat_vectors of Random123 1.14, lines "philox4x32 10".
  test.each([
    ['00000000 00000000 00000000 00000000', '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    ['ffffffff ffffffff ffffffff ffffffff', 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    ['243f6a88 85a308d3 13198a2e 03707344', 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'],
  ])('gives the published answer for counter %s and key %s', (counter, key, answer) => {
    const words = (text: string) => text.split(' ').map((w) => Number.parseInt(w, 16));
    const out = new Int32Array(4);
    const [c0, c1, c2, c3] = words(counter) as [number, number, number, number];
    const [k0, k1] = words(key) as [number, number];
    philox4x32(c0, c1, c2, c3, k0, k1, out);
    expect([...out].map((w) => w >>> 0)).toEqual(words(answer));
  });

  property.prop([fc.array(fc.nat(0xffffffff), { minLength: 6, maxLength: 6 })])(
    'agrees with 64-bit arithmetic',
    (input) => {
      let [x0, x1, x2, x3, k0, k1] = input.map(BigInt) as [bigint, bigint, bigint, bigint, bigint, bigint];
      const mask = 0xffffffffn;
      for (let round = 0; round < 10; round++) {
        const p0 = 0xd2511f53n * x0;
        const p1 = 0xcd9e8d57n * x2;
        [x0, x1, x2, x3] = [(p1 >> 32n) ^ x1 ^ k0, p1 & mask, (p0 >> 32n) ^ x3 ^ k1, p0 & mask];
        k0 = (k0 + 0x9e3779b9n) & mask;
        k1 = (k1 + 0xbb67ae85n) & mask;
      }
      const out = new Int32Array(4);
      philox4x32(input[0]!, input[1]!, input[2]!, input[3]!, input[4]!, input[5]!, out);
      expect([...out].map((w) => w >>> 0)).toEqual([x0, x1, x2, x3].map(Number));
    },
  );
});

describe('streams', () => {
  test('a bare seed is Philox with the seed as key, counting from zero', () => {
    const rng = new Rng(0);
    expect([rng.word(), rng.word(), rng.word(), rng.word()]).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    const out = new Int32Array(4);
    philox4x32(1, 0, 0, 0, 0, 0, out);
    expect(rng.word()).toBe(out[0]! >>> 0);
  });

  property.prop([fc.maxSafeInteger()])('a seed means the same as a number and as a bigint', (seed) => {
    expect(new Rng(seed).word()).toBe(new Rng(BigInt(seed)).word());
  });

  test('all 64 bits of a seed count', () => {
    const firsts = Array.from({ length: 64 }, (_, bit) => new Rng(1n << BigInt(bit)).uniform());
    expect(new Set(firsts).size).toBe(64);
  });

  property.prop([
    fc.integer(),
    fc.array(fc.oneof(fc.string(), fc.integer()), { minLength: 1, maxLength: 4 }),
    fc.nat(50),
  ])('a fork depends on seed and labels alone, and drawing from it does not move its parent', (seed, labels, draws) => {
    const untouched = new Rng(seed);
    const used = new Rng(seed);
    for (let i = 0; i < draws; i++) used.normal();
    const a = untouched.fork(...labels);
    const b = used.fork(...labels);
    const chained = labels.reduce<Rng>((rng, label) => rng.fork(label), new Rng(seed));
    for (let i = 0; i < 5; i++) {
      const word = a.word();
      expect(b.word()).toBe(word);
      expect(chained.word()).toBe(word);
    }
    expect(untouched.word()).toBe(new Rng(seed).word());
  });

  test('different labels give different streams, also when they only look alike', () => {
    const root = new Rng(7);
    const labels: (string | number)[][] = [
      [],
      [''],
      ['', ''],
      [0],
      [1],
      ['1'],
      [-1],
      [1.5],
      ['a'],
      ['b'],
      ['a', 'b'],
      ['ab'],
      ['b', 'a'],
      ['a\0'],
      ['a', 0],
    ];
    for (let i = 2; i < 2000; i++) labels.push([i], ['noise', i], [i, 0], [`x${i}`]);
    const firsts = labels.map((l) => {
      const rng = root.fork(...l);
      return `${rng.word()} ${rng.word()}`;
    });
    expect(new Set(firsts).size).toBe(labels.length);
  });

  test('neighbouring streams are uncorrelated', () => {
    const n = 4000;
    const streams = [
      new Rng(1),
      new Rng(2),
      new Rng(1).fork(0),
      new Rng(1).fork(1),
      new Rng(1).fork('noise', 1),
      new Rng(1).fork('noise', 2),
    ];
    const draws = streams.map((rng) => rng.fillNormal(new Float32Array(n)));
    for (let a = 0; a < draws.length; a++) {
      for (let b = 0; b < a; b++) {
        let dot = 0;
        for (let i = 0; i < n; i++) dot += draws[a]![i]! * draws[b]![i]!;
        expect(Math.abs(dot / Math.sqrt(n))).toBeLessThan(4); // 4 standard errors
      }
    }
  });

  test.each([[1.5], [Number.NaN], [2 ** 60], [2n ** 64n]])('the seed %s is refused', (seed) => {
    expect(() => new Rng(seed)).toThrow(expect.objectContaining({ code: 'rng/seed' }));
  });
});

describe('distributions', () => {
  const n = 20_000;
  // Kolmogorov's 99.99 % quantile is 2.23/√n; the seed is fixed, so this cannot fail by chance later.
  const limit = 2.23 / Math.sqrt(n);

  test('uniform() is uniform on the open interval', () => {
    const rng = new Rng(11);
    const draws = Array.from({ length: n }, () => rng.uniform());
    expect(ksDistance(draws, (x) => x)).toBeLessThan(limit);
    expect(Math.min(...draws)).toBeGreaterThan(0);
    expect(Math.max(...draws)).toBeLessThan(1);
  });

  test('normal() is standard normal', () => {
    const rng = new Rng(12);
    expect(
      ksDistance(
        Array.from({ length: n }, () => rng.normal()),
        normalCdf,
      ),
    ).toBeLessThan(limit);
  });

  test('normal() is the formula of Box and Muller on two words, to 1e-10', () => {
    const words = new Rng(19);
    const rng = new Rng(19);
    for (let i = 0; i < 100_000; i++) {
      const radius = Math.sqrt(-2 * Math.log((words.word() + 0.5) / 2 ** 32));
      const angle = (2 * Math.PI * (words.word() + 0.5)) / 2 ** 32;
      const error = Math.max(
        Math.abs(rng.normal() - radius * Math.cos(angle)),
        Math.abs(rng.normal() - radius * Math.sin(angle)),
      );
      if (error > 1e-10) expect(error).toBeLessThanOrEqual(1e-10);
    }
  });

  test('the two halves of a Box–Muller pair are independent', () => {
    const rng = new Rng(13);
    let dot = 0;
    let squares = 0;
    for (let i = 0; i < n; i++) {
      const a = rng.normal();
      const b = rng.normal();
      dot += a * b;
      squares += (a * a - 1) * (b * b - 1);
    }
    expect(Math.abs(dot / Math.sqrt(n))).toBeLessThan(4);
    expect(Math.abs(squares / 2 / Math.sqrt(n))).toBeLessThan(4); // (a² − 1)(b² − 1) has standard deviation 2
  });

  test('gumbel() follows exp(−exp(−x)), and its maximum samples in proportion to weights', () => {
    const rng = new Rng(14);
    expect(
      ksDistance(
        Array.from({ length: n }, () => rng.gumbel()),
        (x) => Math.exp(-Math.exp(-x)),
      ),
    ).toBeLessThan(limit);
    const weights = [0.1, 0.2, 0.7];
    const counts = [0, 0, 0];
    for (let i = 0; i < n; i++) {
      const scores = weights.map((w) => Math.log(w) + rng.gumbel());
      counts[scores.indexOf(Math.max(...scores))]! += 1;
    }
    weights.forEach((w, k) => {
      expect(Math.abs(counts[k]! / n - w)).toBeLessThan(4 * Math.sqrt((w * (1 - w)) / n));
    });
  });

  test.each([[1], [2], [7], [2 ** 32], [2 ** 32 + 1], [3 * 2 ** 51]])('int(%d) is uniform and in range', (range) => {
    const rng = new Rng(15);
    const draws = Array.from({ length: n }, () => rng.int(range));
    expect(draws.every((d) => Number.isInteger(d) && d >= 0 && d < range)).toBe(true);
    const buckets = Math.min(range, 8);
    const counts = new Array<number>(buckets).fill(0);
    for (const d of draws) counts[Math.floor((d / range) * buckets)]! += 1;
    const expected = n / buckets;
    const chi2 = counts.reduce((sum, c) => sum + (c - expected) ** 2 / expected, 0);
    expect(chi2).toBeLessThan(30); // 99.99 % quantile for 7 degrees of freedom
  });

  test('shuffle() gives every order equally often and leaves its argument alone', () => {
    const rng = new Rng(16);
    const items = ['a', 'b', 'c'] as const;
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const key = rng.shuffle(items).join('');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(items).toEqual(['a', 'b', 'c']);
    expect([...counts.keys()].sort()).toEqual(['abc', 'acb', 'bac', 'bca', 'cab', 'cba']);
    const chi2 = [...counts.values()].reduce((sum, c) => sum + (c - 1000) ** 2 / 1000, 0);
    expect(chi2).toBeLessThan(26); // 99.99 % quantile for 5 degrees of freedom
  });

  test('pick() chooses among all, and refuses an empty list; int(0) is refused', () => {
    const rng = new Rng(17);
    expect(new Set(Array.from({ length: 100 }, () => rng.pick([1, 2, 3])))).toEqual(new Set([1, 2, 3]));
    expect(() => rng.pick([])).toThrow(expect.objectContaining({ code: 'rng/range' }));
    expect(() => rng.int(0)).toThrow(expect.objectContaining({ code: 'rng/range' }));
  });
});

describe('filling', () => {
  property.prop([fc.integer(), fc.nat(40), fc.nat(400)])(
    'fillNormal continues where normal() left off, in any split',
    (seed, a, b) => {
      const one = new Rng(seed).fillNormal(new Float32Array(a + b));
      const rng = new Rng(seed);
      const first = Float32Array.from({ length: a }, () => rng.normal());
      const second = rng.fillNormal(new Float32Array(b));
      expect([...first, ...second]).toEqual([...one]);
    },
  );

  test('what is filled many at a time is what is drawn one by one, to the byte', () => {
    for (const [seed, drawn, size] of [
      [1, 0, 4096 + 64 + 5],
      [-7, 1, 12_288],
      [2n ** 63n, 2, 300_000],
    ] as const) {
      const rng = new Rng(seed).fork('noise', 3);
      const one = new Rng(seed).fork('noise', 3);
      for (let i = 0; i < drawn; i++) expect(rng.word()).toBe(one.word());
      const filled = rng.fillNormal(new Float32Array(size));
      const drawnOne = Float32Array.from({ length: size }, () => one.normal());
      expect(Buffer.compare(Buffer.from(filled.buffer), Buffer.from(drawnOne.buffer))).toBe(0);
      expect(rng.word()).toBe(one.word());
    }
  });

  test('the compiled module is what its source compiles to', async () => {
    const { compileNormals, NORMALS_MODULE } = await import('#build/scripts/compile-normals.ts');
    expect(readFileSync(NORMALS_MODULE, 'utf8')).toBe(await compileNormals());
  });

  test('fillUniform stays inside the open interval in float32', () => {
    const out = new Rng(18).fillUniform(new Float32Array(200_000));
    let low = 1;
    let high = 0;
    for (const x of out) {
      low = Math.min(low, x);
      high = Math.max(high, x);
    }
    expect(low).toBeGreaterThan(0);
    expect(high).toBeLessThan(1);
    expect(ksDistance(out, (x) => x)).toBeLessThan(2.23 / Math.sqrt(out.length));
  });
});
