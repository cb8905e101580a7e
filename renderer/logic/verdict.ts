/** What a 95% interval of B's win rate says, in words: only an interval that leaves out the half decides. */
export function verdict(interval: readonly [number, number], labelA: string, labelB: string): string {
  const [low, high] = interval;
  if (low > 0.5) return `You prefer ${labelB}.`;
  if (high < 0.5) return `You prefer ${labelA}.`;
  return 'The answers do not settle which you prefer; more questions would.';
}
