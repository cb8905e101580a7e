import type { Rng } from '#models/tensor/rng.ts';

/**
 * What a flower picture can be asked to show. Every value is a word that belongs to one attribute only
 * (a centre is "golden", never "yellow"; a background is "sky", never "blue"), so that a prompt can never be misread.
 */
export const ATTRIBUTES = {
  species: ['daisy', 'tulip', 'poppy', 'lily', 'bellflower'],
  petalColour: ['red', 'orange', 'yellow', 'pink', 'purple', 'blue', 'white'],
  centreColour: ['golden', 'brown', 'green'],
  petalCount: ['four', 'six', 'nine'],
  leaves: ['no leaves', 'one leaf', 'two leaves'],
  setting: ['in a vase', 'on the ground'],
  background: ['cream', 'sky', 'mint', 'lavender', 'navy'],
} as const;

export type AttributeName = keyof typeof ATTRIBUTES;
export type AttributeValue<N extends AttributeName> = (typeof ATTRIBUTES)[N][number];

export const ATTRIBUTE_NAMES = Object.keys(ATTRIBUTES) as readonly AttributeName[];

/** One flower. `centreColour` and `petalCount` are null for species seen from the side (tulip, bellflower). */
export interface FlowerAttributes {
  readonly species: AttributeValue<'species'>;
  readonly petalColour: AttributeValue<'petalColour'>;
  readonly centreColour: AttributeValue<'centreColour'> | null;
  readonly petalCount: AttributeValue<'petalCount'> | null;
  readonly leaves: AttributeValue<'leaves'>;
  readonly setting: AttributeValue<'setting'>;
  readonly background: AttributeValue<'background'>;
}

/** Whether the species faces the viewer, so that its petals can be counted and its centre is seen. */
export function facesViewer(species: AttributeValue<'species'>): boolean {
  return species === 'daisy' || species === 'poppy' || species === 'lily';
}

/** Every attribute uniformly at random, held-out combinations included. */
export function sampleAttributes(rng: Rng): FlowerAttributes {
  const species = rng.pick(ATTRIBUTES.species);
  const facing = facesViewer(species);
  return {
    species,
    petalColour: rng.pick(ATTRIBUTES.petalColour),
    centreColour: facing ? rng.pick(ATTRIBUTES.centreColour) : null,
    petalCount: facing ? rng.pick(ATTRIBUTES.petalCount) : null,
    leaves: rng.pick(ATTRIBUTES.leaves),
    setting: rng.pick(ATTRIBUTES.setting),
    background: rng.pick(ATTRIBUTES.background),
  };
}

/** About one combination in ten, by a hash of its values: never drawn for training, so it shows generalisation. */
export function isHeldOut(a: FlowerAttributes): boolean {
  return stableHash(ATTRIBUTE_NAMES.map((name) => a[name] ?? '-').join('|')) % 10 === 0;
}

/** FNV-1a over the characters, then the murmur3 finaliser so that the low digits are well mixed. */
function stableHash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
