import type { Place } from '#renderer/state/navigation.ts';

/** The places in the order of the loop, with what each is for. */
export const placeNames: Readonly<Record<Place, string>> = {
  generate: 'Generate',
  gallery: 'Gallery',
  rank: 'Rank',
  tune: 'Tune',
  compare: 'Compare',
  models: 'Models',
};
