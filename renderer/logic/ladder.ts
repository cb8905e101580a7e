import type { Output } from '#pipelines/engine/contract.ts';

type Standing = Output<'sessions.standings'>['standings'][number];

export interface Rung extends Standing {
  /** Positions of the dot and the whisker's ends, 0…1 across one common scale. */
  readonly at: number;
  readonly from: number;
  readonly to: number;
}

/** Best first, with utility ± one standard deviation on a scale that fits all of them and always holds zero. */
export function ladder(standings: readonly Standing[]): { rungs: Rung[]; zero: number } {
  const low = standings.reduce((least, s) => Math.min(least, s.utility - s.sd), 0);
  const high = standings.reduce((most, s) => Math.max(most, s.utility + s.sd), 0);
  const span = high - low || 1;
  const place = (value: number) => (value - low) / span;
  const rungs = [...standings]
    .sort((a, b) => b.utility - a.utility)
    .map((s) => ({ ...s, at: place(s.utility), from: place(s.utility - s.sd), to: place(s.utility + s.sd) }));
  return { rungs, zero: place(0) };
}
