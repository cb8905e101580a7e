/** Puts intervals into as few lanes as are needed so that none touches another of its lane: the lane of each. */
export function lanesOf(intervals: readonly { readonly start: number; readonly end: number }[], gap = 0): number[] {
  const order = [...intervals.keys()].sort((a, b) => intervals[a]!.start - intervals[b]!.start || a - b);
  const ends: number[] = [];
  const lanes: number[] = [];
  for (const i of order) {
    const { start, end } = intervals[i]!;
    const free = ends.findIndex((last) => last + gap <= start);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = end;
    lanes[i] = lane;
  }
  return lanes;
}
