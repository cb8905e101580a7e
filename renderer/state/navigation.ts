import { create } from 'zustand';
import type { Sample } from '#pipelines/engine/contract.ts';

export const places = ['generate', 'gallery', 'rank', 'tune', 'compare', 'models'] as const;
export type Place = (typeof places)[number];

/**
 * Where the person is and what they hold in hand while moving between places. Panels do not know one another: they meet
 * here ("rank these" sets a session, "tune with these" sets a choice of sessions).
 */
interface Navigation {
  place: Place;
  /** The model and adapter in hand; null adapter = the base model. */
  modelId: string | null;
  adapterId: string | null;
  /** A picture whose settings Generate is to take over. */
  recalled: Sample | null;
  /** A picture that Generate is to start from. */
  start: Sample | null;
  rankSessionId: string | null;
  tuneSessionIds: string[];
  runId: string | null;
  compareSessionId: string | null;
  /** Adapter to compare with the base, offered by Tune and Models. */
  compareAdapterId: string | null;
}

const fromAddress = (): Place => {
  const name = typeof location === 'undefined' ? '' : location.hash.slice(1);
  return places.find((place) => place === name) ?? 'generate';
};

export const useNavigation = create<Navigation>(() => ({
  place: fromAddress(),
  modelId: null,
  adapterId: null,
  recalled: null,
  start: null,
  rankSessionId: null,
  tuneSessionIds: [],
  runId: null,
  compareSessionId: null,
  compareAdapterId: null,
}));

/** Goes to a place, optionally taking something along. */
export function go(place: Place, take: Partial<Omit<Navigation, 'place'>> = {}): void {
  useNavigation.setState({ ...take, place });
  // A reload comes back to the same place; the back button is not a loop through votes.
  history.replaceState(null, '', `#${place}`);
}

export const choose = (take: Partial<Omit<Navigation, 'place'>>) => useNavigation.setState(take);
