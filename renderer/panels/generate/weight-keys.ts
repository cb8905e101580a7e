import { nudgeWeight } from '#renderer/logic/prompt-weight.ts';
import type { Shortcut } from '#renderer/state/shortcuts.ts';

const STEP = 0.1;

/** Changes the weight of the words that are selected in a text field, as typing would, so that Ctrl+Z takes it back. */
function nudge(by: number): void {
  const field = document.activeElement;
  const isText = field instanceof HTMLTextAreaElement || (field instanceof HTMLInputElement && field.type === 'text');
  if (!isText) return;
  const change = nudgeWeight(field.value, field.selectionStart ?? 0, field.selectionEnd ?? 0, by);
  if (change === null) return;
  field.setSelectionRange(change.from, change.to);
  // The only way to change a field that keeps its history of changes.
  document.execCommand('insertText', false, change.insert);
  field.setSelectionRange(change.start, change.end);
}

const group = 'Words of a prompt';
export const WEIGHT_KEYS: readonly Shortcut[] = [
  { keys: ['Ctrl+ArrowUp'], does: 'More weight', group, inFields: true, repeats: true, run: () => nudge(STEP) },
  { keys: ['Ctrl+ArrowDown'], does: 'Less weight', group, inFields: true, repeats: true, run: () => nudge(-STEP) },
];
