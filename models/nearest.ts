/**
 * Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours, each of cost 1, no
 * substring edited twice. Damerau 1964, Levenshtein 1966.
 */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, beforeLast[j - 2]! + 1);
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}

/** The known word closest to what was typed, or undefined when none is close enough to be meant (a third of its length). */
export function nearest(typed: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const word of known) {
    const distance = editDistance(typed.toLowerCase(), word.toLowerCase());
    if (distance < bestDistance) {
      best = word;
      bestDistance = distance;
    }
  }
  return best !== undefined && bestDistance <= Math.max(1, Math.ceil(Math.max(typed.length, best.length) / 3))
    ? best
    : undefined;
}

/** ` Did you mean X?`, or the known words when nothing is close and they are few. */
export function suggestion(typed: string, known: readonly string[], prefix = ''): string {
  const near = nearest(typed, known);
  if (near !== undefined) return `Did you mean ${prefix}${near}?`;
  return known.length > 0 && known.length <= 20 ? `Known: ${known.map((word) => prefix + word).join(', ')}.` : '';
}
