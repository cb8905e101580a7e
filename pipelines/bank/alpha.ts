import { type Groups, leastEss, type Tilt, tilt } from './tilt.ts';

/** Further from the spread of rewards than any α that changes something. */
const FARTHEST = 1e12;
const HALVINGS = 64;

/** The α whose tilt is `kl` nats from the plain samples; null where none is: rewards are all equal, or it is too far. */
export function alphaForKl(groups: Groups, kl: number): number | null {
  return kl > 0 ? solve(groups, (t) => t.kl < kl) : null;
}

/** The α whose tilt has this effective sample size; null where none has. */
export function alphaForEss(groups: Groups, ess: number): number | null {
  const samples = groups.reduce((sum, group) => sum + group.length, 0);
  return ess < samples ? solve(groups, (t) => t.ess > ess) : null;
}

/** KL grows and the effective sample size falls as α does: the largest α that is not too weak, by halving its logarithm. */
function solve(groups: Groups, tooWeak: (t: Tilt) => boolean): number | null {
  const spread = spreadOf(groups);
  if (spread === 0) return null;
  let low = spread / FARTHEST;
  let high = spread * FARTHEST;
  if (tooWeak(tilt(groups, low))) return null;
  for (let i = 0; i < HALVINGS; i++) {
    const middle = Math.sqrt(low * high);
    if (tooWeak(tilt(groups, middle))) high = middle;
    else low = middle;
  }
  return low;
}

const spreadOf = (groups: Groups): number => {
  const widths = groups.map((group) => {
    const values = Array.from(group);
    return values.length === 0 ? 0 : Math.max(...values) - Math.min(...values);
  });
  return Math.max(0, ...widths);
};

/** About what the best of six is worth; for rewards that are normal, α is then their standard deviation over √2. */
const USUAL_KL = 1;

/**
 * An α that fits the spread of a reward: one nat from plain samples, or, where these samples cannot show that much, as far
 * as they can. Null where the reward does not tell them apart.
 */
export function defaultAlpha(groups: Groups): number | null {
  const usual = alphaForKl(groups, USUAL_KL);
  if (usual !== null && tilt(groups, usual).reliable) return usual;
  const samples = groups.reduce((sum, group) => sum + group.length, 0);
  return alphaForEss(groups, leastEss(samples)) ?? usual;
}
