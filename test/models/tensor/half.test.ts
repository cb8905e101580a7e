import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { toFloat32, toHalf } from '#models/tensor/half.ts';
import { decodeBFloat16, decodeFloat16, f32, f64, type Tensor, tensor } from '#models/tensor/tensor.ts';

const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i);
const float16 = tensor('float16', [65536], patterns);
const bfloat16 = tensor('bfloat16', [65536], patterns);
const isNaN16 = (bits: number) => (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0;
const isNaNB = (bits: number) => (bits & 0x7f80) === 0x7f80 && (bits & 0x7f) !== 0;

describe('16-bit floats', () => {
  test('every pattern comes back from float32', () => {
    const back16 = toHalf(toFloat32(float16), 'float16').data;
    const backB = toHalf(toFloat32(bfloat16), 'bfloat16').data;
    patterns.forEach((p) => {
      if (!isNaN16(p) && back16[p] !== p) throw new Error(`float16 ${p}: ${back16[p]}`);
      if (!isNaNB(p) && backB[p] !== p) throw new Error(`bfloat16 ${p}: ${backB[p]}`);
      if (isNaN16(p) && !Number.isNaN(decodeFloat16(back16[p]!))) throw new Error(`float16 NaN ${p}`);
      if (isNaNB(p) && !Number.isNaN(decodeBFloat16(backB[p]!))) throw new Error(`bfloat16 NaN ${p}`);
    });
  });

  test.prop([fc.array(fc.double(), { maxLength: 20 })])('rounding is that of the JavaScript engine', (values) => {
    const t = f64([values.length], values);
    const ours = [...toFloat32(toHalf(t, 'float16')).data];
    expect(ours).toEqual(values.map((v) => Math.f16round(v)));
  });

  test.prop([fc.array(fc.float(), { maxLength: 20 })])(
    'bfloat16 is the nearest there is, even where two are',
    (values) => {
      const t = f32([values.length], values);
      const bits = toHalf(t, 'bfloat16').data;
      t.data.forEach((v, i) => {
        if (!Number.isFinite(v)) return;
        const b = bits[i]!;
        const here = Math.abs(decodeBFloat16(b) - v);
        if (!Number.isFinite(here)) {
          expect(Math.abs(v)).toBeGreaterThan(3.38e38);
          return;
        }
        for (const other of [b - 1, b + 1]) {
          if ((other & 0x7fff) > 0x7f80 || other < 0 || ((other ^ b) & 0x8000) !== 0) continue;
          const there = Math.abs(decodeBFloat16(other) - v);
          expect(here < there || (here === there && b % 2 === 0)).toBe(true);
        }
      });
    },
  );

  test('a float32 tensor is handed on as it is', () => {
    const t: Tensor = f32([2], [1, 2]);
    expect(toFloat32(t)).toBe(t);
  });
});
