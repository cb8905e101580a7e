import { fc, test as prop } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import { parseWeights } from '#models/families/prompt/parse-weights.ts';
import { nudgeWeight } from '#renderer/logic/prompt-weight.ts';

/** The text after a nudge; `<` and `>` mark the selection before and after, `|` the cursor. */
function nudged(marked: string, by: number): string | null {
  const start = marked.search(/[<|]/);
  const text = marked.replace(/[<>|]/g, '');
  const end = marked.includes('|') ? start : marked.indexOf('>') - 1;
  const change = nudgeWeight(text, start, end, by);
  if (change === null) return null;
  const after = text.slice(0, change.from) + change.insert + text.slice(change.to);
  return `${after.slice(0, change.start)}<${after.slice(change.start, change.end)}>${after.slice(change.end)}`;
}

test.each([
  ['a <red> tulip', 0.1, 'a (<red>:1.1) tulip'],
  ['a <red> tulip', -0.1, 'a (<red>:0.9) tulip'],
  ['a re|d tulip', 0.1, 'a (<red>:1.1) tulip'],
  ['a |red, tulip', 0.1, 'a (<red>:1.1), tulip'],
  ['a red|, tulip', 0.1, 'a (<red>:1.1), tulip'],
  ['a < red tulip >', 0.1, 'a  (<red tulip>:1.1) '],
  ['a (<red>:1.1) tulip', 0.1, 'a (<red>:1.2) tulip'],
  ['a (<red>:1.1) tulip', -0.1, 'a <red> tulip'],
  ['a (r|ed:1.1) tulip', -0.1, 'a <red> tulip'],
  ['a (<red>) tulip', 0.1, 'a (<red>:1.2) tulip'],
  ['a <(red)> tulip', 0.1, 'a (<red>:1.2) tulip'],
  ['a <(red:0.9)> tulip', 0.1, 'a <red> tulip'],
  ['(<off>: 0.1 )', -0.1, '(<off>:0)'],
  ['(<off>:0)', -0.1, '(<off>:0)'],
  ['\\(<red>)', 0.1, '\\((<red>:1.1))'],
  ['<(a) (b)>', 0.1, '(<(a) (b)>:1.1)'],
  ['a , | b', 0.1, null],
  ['<one\ntwo>', 0.1, null],
  ['|', 0.1, null],
])('%s by %d is %s', (before, by, after) => {
  expect(nudged(before, by)).toBe(after);
});

const word = fc.stringMatching(/^[a-zé花]{1,8}$/u);
prop.prop([word, word, word, fc.integer({ min: 1, max: 8 })])(
  'so many steps up weigh the word as the parser reads it, and as many down give the text back',
  (before, chosen, after, steps) => {
    const text = `${before} ${chosen} ${after}`;
    let state = { text, start: before.length + 1, end: before.length + 1 + chosen.length };
    const nudge = (by: number) => {
      const c = nudgeWeight(state.text, state.start, state.end, by)!;
      state = { text: state.text.slice(0, c.from) + c.insert + state.text.slice(c.to), start: c.start, end: c.end };
    };
    for (let i = 0; i < steps; i++) nudge(0.1);
    const piece = parseWeights(state.text)[0]!.find((p) => p.weight !== 1)!;
    expect(piece.text).toBe(chosen);
    expect(piece.weight).toBeCloseTo(1 + steps / 10, 9);
    for (let i = 0; i < steps; i++) nudge(-0.1);
    expect(state.text).toBe(text);
  },
);
