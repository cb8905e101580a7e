/**
 * Key chords as text: `Ctrl+Enter`, `Shift+ArrowLeft`, `s`, `?`. `Ctrl` also matches ⌘. Letters and signs match what the key
 * types on the person's layout (`event.key`); Shift counts only where the chord names it or the key is not a sign.
 */
export interface KeyPress {
  readonly key: string;
  readonly code?: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
}

export function matches(chord: string, event: KeyPress): boolean {
  const parts = chord.split('+');
  const key = parts.at(-1) === '' ? '+' : (parts.at(-1) ?? '');
  const ctrl = parts.includes('Ctrl');
  const shift = parts.includes('Shift');
  if (ctrl !== (event.ctrlKey || event.metaKey) || event.altKey) return false;
  const isDigit = /^[0-9]$/.test(key);
  // Digits also by place: on some layouts the digit row types signs.
  const same =
    event.key.toLowerCase() === key.toLowerCase() ||
    (isDigit && event.code === `Digit${key}` && !shift && !event.shiftKey);
  if (!same) return false;
  // "?" needs Shift on some layouts and not on others; letters, digits and named keys say what they mean.
  const isSign = key.length === 1 && !/[a-z0-9 ]/i.test(key);
  return isSign || shift === event.shiftKey;
}

const NAMES: Readonly<Record<string, string>> = {
  ArrowLeft: '←',
  ArrowRight: '→',
  ArrowUp: '↑',
  ArrowDown: '↓',
  ' ': 'Space',
  Escape: 'Esc',
};

/** A chord as printed on a button: "Ctrl ↵", "⇧ ←", "S". */
export function chordLabel(chord: string): string {
  return chord
    .split('+')
    .map((part) => {
      if (part === 'Shift') return '⇧';
      if (part === 'Enter') return '↵';
      if (part === 'Backspace') return '⌫';
      return NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part);
    })
    .join(' ');
}

/** Whether keys typed here belong to the element: text fields, selects, sliders and radio buttons. */
export function ownsKeys(
  element: { readonly tagName: string; readonly type?: string; readonly isContentEditable?: boolean } | null,
): boolean {
  if (!element) return false;
  if (element.isContentEditable) return true;
  const tag = element.tagName.toLowerCase();
  if (tag === 'textarea' || tag === 'select') return true;
  return tag === 'input' && !['checkbox', 'button', 'submit', 'reset'].includes(element.type ?? 'text');
}
