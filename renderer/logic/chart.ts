export interface Point {
  readonly x: number;
  readonly y: number;
}

/**
 * Exponential moving average with the start-up bias divided out (Kingma and Ba 2015, section 3), so that the first value
 * is the first point itself. Non-finite values are passed over and stay gaps.
 * @param weight share of the past, 0…1; 0 gives the points back.
 */
export function smooth(points: readonly Point[], weight: number): Point[] {
  let mean = 0;
  let decay = 1;
  return points.map(({ x, y }) => {
    if (!Number.isFinite(y)) return { x, y };
    mean = weight * mean + (1 - weight) * y;
    decay *= weight;
    return { x, y: decay < 1 ? mean / (1 - decay) : y };
  });
}

/** Round tick values inside `[low, high]`, about `count` of them, at steps of 1, 2 or 5 times a power of ten. */
export function ticks(low: number, high: number, count: number): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const raw = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((m) => m * power >= raw * 0.999) ?? 10) * power;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  // Multiples of the step, rounded, so that no 0.30000000000000004 reaches the axis.
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Range of the finite values with a little air; a flat line gets a range around it. `include` values are always inside. */
export function range(points: readonly Point[], include: readonly number[] = []): [number, number] {
  const values = [...points.map((p) => p.y), ...include].filter(Number.isFinite);
  if (values.length === 0) return [0, 1];
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  if (low === high) {
    // Of a number too small to halve nothing is left: then a range around zero serves as well.
    const around = Math.abs(low) < 1e-300 ? 1 : Math.abs(low) * 0.5;
    return [low - around, high + around];
  }
  const air = (high - low) * 0.06;
  return [low - air, high + air];
}

/** Index of the point whose x is nearest; −1 when there is none. Points ascend in x. */
export function nearest(points: readonly Point[], x: number): number {
  let best = -1;
  let distance = Number.POSITIVE_INFINITY;
  points.forEach((p, i) => {
    const d = Math.abs(p.x - x);
    if (d < distance) {
      distance = d;
      best = i;
    }
  });
  return best;
}
