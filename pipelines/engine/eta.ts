/** Weight of the newest observation once `SECONDS` have passed since the one before. */
const SMOOTHING_SECONDS = 20;

/**
 * Time left from the rate of progress, smoothed over about 20 s, so that one slow step does not make it jump.
 * The first report only sets the starting point: a resumed job announces what it already has in one go.
 */
export function createEta() {
  let last: { done: number; total: number; seconds: number } | null = null;
  let secondsPerUnit: number | null = null;
  /** Seconds left after `done` of `total` at the time `seconds` (any origin); null until a rate is known. */
  return (done: number, total: number, seconds: number): number | null => {
    if (last === null || done < last.done || total !== last.total) {
      last = { done, total, seconds };
      secondsPerUnit = null;
      return null;
    }
    const elapsed = seconds - last.seconds;
    if (done > last.done && elapsed > 0) {
      const observed = elapsed / (done - last.done);
      const weight = 1 - Math.exp(-elapsed / SMOOTHING_SECONDS);
      secondsPerUnit = secondsPerUnit === null ? observed : secondsPerUnit + weight * (observed - secondsPerUnit);
      last = { done, total, seconds };
    }
    return secondsPerUnit === null ? null : Math.max(0, (total - done) * secondsPerUnit - (seconds - last.seconds));
  };
}
