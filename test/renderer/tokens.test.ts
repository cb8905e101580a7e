import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

const css = readFileSync(resolve(import.meta.dirname, '../../renderer/tokens.css'), 'utf8');

function token(name: string, theme: 'light' | 'dark'): string {
  const found = new RegExp(`--${name}: light-dark\\((#[0-9a-f]{6}), (#[0-9a-f]{6})\\)`).exec(css);
  const value = found?.[theme === 'light' ? 1 : 2];
  if (!value) throw new Error(`tokens.css has no colour --${name}.`);
  return value;
}

/** WCAG 2.2, relative luminance and contrast ratio. */
function contrast(a: string, b: string): number {
  const luminance = (hex: string) => {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const c = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    }) as [number, number, number];
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const grounds = ['paper', 'surface', 'sunken', 'hover'];

test.each(['light', 'dark'] as const)('text is readable on every ground in %s: 4.5 to 1 or more', (theme) => {
  const letters = ['letter-a', 'letter-c', 'letter-g', 'letter-t'];
  for (const ink of ['ink', 'ink-2', 'ink-3', 'accent', 'bad', ...letters]) {
    for (const ground of grounds)
      expect(contrast(token(ink, theme), token(ground, theme)), `${ink} on ${ground}`).toBeGreaterThanOrEqual(4.5);
  }
  const pairs = [
    ['on-accent', 'accent'],
    ['on-accent', 'accent-strong'],
    ['accent', 'accent-soft'],
    ['bad', 'bad-soft'],
    ['ink', 'bad-soft'],
    ['paper', 'bad'],
    ...letters.map((letter) => [letter, 'accent-soft'] as const),
  ] as const;
  for (const [ink, ground] of pairs)
    expect(contrast(token(ink, theme), token(ground, theme)), `${ink} on ${ground}`).toBeGreaterThanOrEqual(4.5);
});

test.each(['light', 'dark'] as const)('edges of fields and focus rings stand out in %s: 3 to 1 or more', (theme) => {
  for (const edge of ['line-strong', 'accent']) {
    for (const ground of ['paper', 'surface'])
      expect(contrast(token(edge, theme), token(ground, theme)), `${edge} on ${ground}`).toBeGreaterThanOrEqual(3);
  }
});
