/** Prompts of a text field, one per line; blank lines and surrounding space do not count. */
export function promptLines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** The text with one more prompt as its last line. A prompt that is already there is not added twice. */
export function addPrompt(text: string, prompt: string): string {
  const lines = promptLines(text);
  return lines.includes(prompt) ? text : [...lines, prompt].join('\n');
}

/** Groups by prompt in the order in which prompts first appear. */
export function groupByPrompt<T extends { readonly prompt: string }>(
  items: readonly T[],
): { prompt: string; items: T[] }[] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(item.prompt);
    if (group) group.push(item);
    else groups.set(item.prompt, [item]);
  }
  return [...groups].map(([prompt, grouped]) => ({ prompt, items: grouped }));
}

/** A seed the generate form accepts, 0…2³¹ − 1. */
export function randomSeed(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) >>> 1;
}
