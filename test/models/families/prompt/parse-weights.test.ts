import { fc, test as prop } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import { LARGEST_WEIGHT, parseWeights } from '#models/families/prompt/parse-weights.ts';

const plain = (prompt: string) => parseWeights(prompt).map((section) => section.map((p) => [p.text, p.weight]));
const close = (n: number) => expect.closeTo(n, 12);

// The examples that the AUTOMATIC1111 web UI documents its notation with (modules/prompt_parser.py).
test.each<[string, [string, number][]]>([
  ['normal text', [['normal text', 1]]],
  [
    'an (important) word',
    [
      ['an ', 1],
      ['important', 1.1],
      [' word', 1],
    ],
  ],
  ['(unbalanced', [['unbalanced', 1.1]]],
  ['\\(literal\\]', [['(literal]', 1]]],
  ['(unnecessary)(parens)', [['unnecessaryparens', 1.1]]],
  [
    'a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).',
    [
      ['a ', 1],
      ['house', 1.573],
      [' ', 1.1],
      ['on', 1],
      [' a ', 1.1],
      ['hill', 0.55],
      [', sun, ', 1.1],
      ['sky', 1.4641],
      ['.', 1.1],
    ],
  ],
])('the documented example %s', (prompt, pieces) => {
  expect(plain(prompt)).toEqual([pieces.map(([text, weight]) => [text, close(weight)])]);
});

test.each<[string, [string, number][][]]>([
  ['', [[]]],
  ['()', [[]]],
  [
    '[dim] (bright)',
    [
      [
        ['dim', 1 / 1.1],
        [' ', 1],
        ['bright', 1.1],
      ],
    ],
  ],
  ['[[very dim]]', [[['very dim', 1 / 1.21]]]],
  ['(off:0)', [[['off', 0]]]],
  ['(away: -0.5 )', [[['away', -0.5]]]],
  [
    '(a [b) c]',
    [
      [
        ['a ', 1.1],
        ['b', 1],
        [' c', 1 / 1.1],
      ],
    ],
  ],
  ['closed) never opened]', [[['closed) never opened]', 1]]]],
  ['ratio 16:9, f:1.4', [[['ratio 16:9, f:1.4', 1]]]],
  ['word:1.2)', [[['word:1.2)', 1]]]],
  ['[dim:0.5]', [[['dim:0.5', 1 / 1.1]]]],
  ['(no number:1.2.3)', [[['no number:1.2.3', 1.1]]]],
  ['(dots:..)', [[['dots:..', 1.1]]]],
  ['back\\\\slash and \\other', [[['back\\slash and other', 1]]]],
  ['left BREAK right', [[['left', 1]], [['right', 1]]]],
  ['BREAK BREAK a BREAK', [[], [], [['a', 1]], []]],
  ['(left BREAK right)', [[['left', 1.1]], [['right', 1.1]]]],
  ['BREAKFAST, daBREAK', [[['BREAKFAST, daBREAK', 1]]]],
])('%s', (prompt, sections) => {
  expect(plain(prompt)).toEqual(sections.map((pieces) => pieces.map(([text, weight]) => [text, close(weight)])));
});

interface Node {
  readonly kind: 'text' | 'round' | 'square' | 'weighted';
  readonly text?: string;
  readonly weight?: number;
  readonly inside?: readonly Node[];
}
const escaped = (text: string) => text.replace(/[()[\]\\]/g, '\\$&');
const write = (node: Node): string => {
  const inside = (node.inside ?? []).map(write).join('');
  if (node.kind === 'round') return `(${inside})`;
  if (node.kind === 'square') return `[${inside}]`;
  return node.kind === 'weighted' ? `(${inside}:${node.weight})` : escaped(node.text!);
};
/** Each character with its weight. */
const letters = (node: Node, factor: number): [string, number][] => {
  if (node.kind === 'text') return [...node.text!].map((letter) => [letter, factor]);
  const own = node.kind === 'round' ? 1.1 : node.kind === 'square' ? 1 / 1.1 : node.weight!;
  return node.inside!.flatMap((child) => letters(child, factor * own));
};
// Colons would read as weights; the rest of the text is free.
const text = fc.string({ unit: 'grapheme' }).filter((s) => !/[:]|BREAK/.test(s));
const { node } = fc.letrec<{ node: Node }>((tie) => {
  const inside = fc.array(tie('node'), { maxLength: 4 });
  return {
    node: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      text.map((t): Node => ({ kind: 'text', text: t })),
      inside.map((n): Node => ({ kind: 'round', inside: n })),
      inside.map((n): Node => ({ kind: 'square', inside: n })),
      fc
        .tuple(inside, fc.integer({ min: 0, max: 30 }))
        .map(([n, w]): Node => ({ kind: 'weighted', inside: n, weight: w / 10 })),
    ),
  };
});

prop.prop([fc.array(node, { maxLength: 5 })])(
  'every letter of nested brackets has the product of its brackets',
  (nodes) => {
    const expected = nodes.flatMap((n) => letters(n, 1));
    const found = parseWeights(nodes.map(write).join(''))
      .flat()
      .flatMap((piece) => [...piece.text].map((letter): [string, number] => [letter, piece.weight]));
    expect(found.map(([letter]) => letter).join('')).toBe(expected.map(([letter]) => letter).join(''));
    for (const [i, [, weight]] of expected.entries()) {
      expect(found[i]![1]).toBeCloseTo(Math.min(weight, LARGEST_WEIGHT), 9);
    }
  },
);

const noise = fc.string({
  unit: fc.constantFrom('(', ')', '[', ']', '\\', ':', '1', '.', '-', ' ', 'a', 'BREAK', '花'),
  maxLength: 60,
});
prop.prop([fc.oneof(noise, fc.string({ unit: 'binary' }))])(
  'any text is read, with finite weights and no letter invented',
  (prompt) => {
    const pieces = parseWeights(prompt).flat();
    let at = 0;
    for (const letter of pieces.map((p) => p.text).join('')) {
      at = prompt.indexOf(letter, at) + letter.length;
      expect(at).toBeGreaterThanOrEqual(letter.length);
    }
    expect(pieces.every((p) => Math.abs(p.weight) <= LARGEST_WEIGHT && p.text !== '')).toBe(true);
  },
);

test('ten thousand open brackets keep their weight within bounds', () => {
  expect(plain(`${'('.repeat(10_000)}a`)).toEqual([[['a', LARGEST_WEIGHT]]]);
  expect(plain(`${'['.repeat(10_000)}a`)[0]![0]![1]).toBeCloseTo(0, 12);
});
