/**
 * A parser of `parameters` texts written from the published grammar alone, with the regular expression that everybody copies.
 * It shares nothing with the project's own: it stands for the other programs that will read our pictures.
 */
const PAIR = /\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)/g;

export function plainA1111(text: string): { prompt: string; negative: string; settings: Record<string, string> } {
  const lines = text.split('\n');
  const last = lines[lines.length - 1] ?? '';
  const settings: Record<string, string> = {};
  const pairs = [...last.matchAll(PAIR)];
  if (pairs.length >= 3) {
    lines.pop();
    for (const [, key, value] of pairs) {
      settings[key!] = value!.startsWith('"') && value!.endsWith('"') ? (JSON.parse(value!) as string) : value!;
    }
  }
  let prompt: string[] = [];
  const negative: string[] = [];
  let seen = false;
  for (const line of lines) {
    if (!seen && line.startsWith('Negative prompt:')) {
      seen = true;
      negative.push(line.slice('Negative prompt: '.length));
    } else if (seen) negative.push(line);
    else prompt = [...prompt, line];
  }
  return { prompt: prompt.join('\n'), negative: negative.join('\n'), settings };
}
