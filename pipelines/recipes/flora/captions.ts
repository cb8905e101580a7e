import type { Rng } from '#models/tensor/rng.ts';
import { ATTRIBUTE_NAMES, ATTRIBUTES, type AttributeName, type FlowerAttributes } from './attributes.ts';

/** Every word a caption can contain, and the comma. Unknown words in a prompt have no meaning to the model. */
export const VOCABULARY: readonly string[] = [
  ...new Set([
    ...ATTRIBUTE_NAMES.flatMap((name) => ATTRIBUTES[name].flatMap((value) => value.split(' '))),
    ...'an and with against flower picture painting drawing of petals centre center background ,'.split(' '),
  ]),
];

/** No caption has more words (commas included) than this. */
export const MAX_CAPTION_WORDS = 24;

/** The words of a text as the model sees them: lower case, commas kept, other punctuation dropped. */
export function captionWords(text: string): string[] {
  return text.toLowerCase().match(/[a-z0-9]+|,/g) ?? [];
}

type Some = Partial<FlowerAttributes>;

/**
 * A caption that says every attribute present in `a` (missing or null ones go unsaid), in one of several word orders:
 * `a red daisy with six petals, a golden centre and two leaves in a vase on a sky background`.
 */
export function caption(a: Some, rng: Rng): string {
  const style = rng.uniform();
  if (style < 0.2) return listCaption(a, rng);
  const petalsCarryColour = Boolean(a.petalColour && a.petalCount) && rng.uniform() < 0.3;
  const noun = [petalsCarryColour ? null : a.petalColour, a.species ?? 'flower'].filter(Boolean).join(' ');
  const details: string[] = [];
  if (a.petalCount) details.push(`${a.petalCount} ${petalsCarryColour ? `${a.petalColour} ` : ''}petals`);
  if (a.centreColour) details.push(`a ${a.centreColour} ${centre(rng)}`);
  if (a.leaves) details.push(a.leaves);
  const flower = [withArticle(noun), details.length > 0 ? `with ${joined(details)}` : null, a.setting ?? null];
  const start = rng.uniform() < 0.35 ? `a ${rng.pick(['picture', 'painting', 'drawing'])} of ` : '';
  const subject = start + flower.filter(Boolean).join(' ');
  if (!a.background) return subject;
  const behind = `${rng.pick(['on', 'against'])} a ${a.background} background`;
  return style < 0.35 ? `${behind}, ${subject}` : `${subject} ${behind}`;
}

/** Keywords with commas: `red daisy, six petals, golden centre, two leaves, in a vase, sky background`. */
function listCaption(a: Some, rng: Rng): string {
  const first = [a.petalColour, a.species ?? 'flower'].filter(Boolean).join(' ');
  const rest: string[] = [];
  if (a.petalCount) rest.push(`${a.petalCount} petals`);
  if (a.centreColour) rest.push(`${a.centreColour} ${centre(rng)}`);
  if (a.leaves) rest.push(a.leaves);
  if (a.setting) rest.push(a.setting);
  if (a.background) rest.push(`${a.background} background`);
  return [first, ...rng.shuffle(rest)].join(', ');
}

function centre(rng: Rng): string {
  return rng.uniform() < 0.8 ? 'centre' : 'center';
}

function withArticle(noun: string): string {
  return `${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}`;
}

function joined(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

/**
 * A caption for training: species is kept with probability 0.95, every other attribute with 0.85, and one caption in
 * thirty says only that there is a flower. What a caption leaves unsaid, the model learns to choose by itself.
 */
export function trainingCaption(a: FlowerAttributes, rng: Rng): string {
  if (rng.uniform() < 1 / 30) return caption({}, rng);
  const kept: Record<string, string> = {};
  for (const name of ATTRIBUTE_NAMES) {
    const value = a[name];
    if (rng.uniform() < (name === 'species' ? 0.95 : 0.85) && value !== null) kept[name] = value;
  }
  return caption(kept as Some, rng);
}

/** What people write for a value, besides the value itself. Longer phrases come first. Tried in this order. */
const READINGS: readonly (readonly [AttributeName, readonly (readonly [RegExp, string])[]])[] = [
  [
    'background',
    [
      [/\b(navy|(dark|deep|night|midnight) blue background|(dark|night) background)\b/, 'navy'],
      [/\b(sky( blue)?|((pale|light) )?blue background|(pale|light) blue)\b/, 'sky'],
      [/\b(cream|((pale|light) )?yellow background|(pale|light) yellow)\b/, 'cream'],
      [/\b(mint( green)?|((pale|light) )?green background|(pale|light) green)\b/, 'mint'],
      [/\b(lavender|((pale|light) )?purple background|(pale|light) purple)\b/, 'lavender'],
    ],
  ],
  [
    'centreColour',
    [
      [/\b(gold|golden|yellow (centre|center|middle))\b/, 'golden'],
      [/\bbrown\b/, 'brown'],
      [/\bgreen (centre|center|middle)\b/, 'green'],
    ],
  ],
  [
    'leaves',
    [
      [/\b((no|zero|0|without( any)?) (green )?(leaf|leaves)|leafless)\b/, 'no leaves'],
      [/\b(one|1|a|single) (green )?leaf\b/, 'one leaf'],
      [/\b(two|2|pair of) (green )?leaves\b/, 'two leaves'],
    ],
  ],
  [
    'petalCount',
    [
      [/\b(four|4)\b(?! (green )?leaves)/, 'four'],
      [/\b(six|6)\b(?! (green )?leaves)/, 'six'],
      [/\b(nine|9)\b(?! (green )?leaves)/, 'nine'],
    ],
  ],
  [
    'setting',
    [
      [/\b(vase|pot)\b/, 'in a vase'],
      [/\b(ground|grass|soil|meadow|garden)\b/, 'on the ground'],
    ],
  ],
  [
    'species',
    [
      [/\b(daisy|daisies)\b/, 'daisy'],
      [/\btulips?\b/, 'tulip'],
      [/\b(poppy|poppies)\b/, 'poppy'],
      [/\b(lily|lilies)\b/, 'lily'],
      [/\b(bellflowers?|bell flower|bluebell)\b/, 'bellflower'],
    ],
  ],
  [
    'petalColour',
    [
      [/\b(red|scarlet|crimson)\b/, 'red'],
      [/\borange\b/, 'orange'],
      [/\byellow\b/, 'yellow'],
      [/\bpink\b/, 'pink'],
      [/\b(purple|violet)\b/, 'purple'],
      [/\bblue\b/, 'blue'],
      [/\bwhite\b/, 'white'],
    ],
  ],
];

/**
 * The attributes that a prompt asks for; unknown words are skipped and what it leaves open is missing from the answer.
 * A few everyday wordings are understood too (`yellow centre`, `dark blue background`, `6 petals`). When a prompt names
 * two values of one attribute, the earlier one counts.
 */
export function parseCaption(text: string): Some {
  let words = captionWords(text).join(' ');
  const found: Record<string, string> = {};
  for (const [name, readings] of READINGS) {
    let best: { at: number; value: string } | null = null;
    // Every match is taken out, so that "yellow centre" or "pale blue background" says nothing about the petals.
    let rest = words;
    for (const [pattern, value] of readings) {
      const at = words.search(pattern);
      if (at >= 0 && (!best || at < best.at)) best = { at, value };
      rest = rest.replaceAll(new RegExp(pattern, 'g'), ' , ');
    }
    words = rest;
    if (best) found[name] = best.value;
  }
  return found as Some;
}
