import { useEffect, useRef } from 'react';
import { matches, ownsKeys } from '#renderer/logic/shortcuts.ts';

export interface Shortcut {
  /** Chords that do the same; the first is the one printed on the button. */
  readonly keys: readonly string[];
  readonly does: string;
  readonly group: string;
  run(event: KeyboardEvent): void;
  /** Also while a text field has focus. Only for chords that type nothing (Ctrl+Enter, Ctrl+1). */
  readonly inFields?: boolean;
  /** Belongs to an open dialog; everything else sleeps while one is open. */
  readonly inDialog?: boolean;
  /** Fires again while the key is held. */
  readonly repeats?: boolean;
}

const registered = new Set<{ current: readonly Shortcut[] }>();

/** All shortcuts that work now, in the order in which their places were opened. */
export const activeShortcuts = (): Shortcut[] => [...registered].flatMap((entry) => entry.current);

/** Shortcuts that work while the calling component is shown. */
export function useShortcuts(shortcuts: readonly Shortcut[]): void {
  const entry = useRef(shortcuts);
  entry.current = shortcuts;
  useEffect(() => {
    registered.add(entry);
    return () => {
      registered.delete(entry);
    };
  }, []);
}

/** The window's one key listener. */
export function listenForShortcuts(): void {
  window.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const focused = document.activeElement as HTMLElement | null;
    const inField = ownsKeys(focused as HTMLInputElement | null);
    const dialogOpen = document.querySelector('dialog[open]') !== null;
    // Space and Enter on a focused control press that control.
    const pressesControl =
      (event.key === ' ' || event.key === 'Enter') &&
      !event.ctrlKey &&
      !event.metaKey &&
      focused?.matches('button, a, summary, input') === true;
    for (const shortcut of activeShortcuts()) {
      if (inField && !shortcut.inFields) continue;
      if (dialogOpen && !shortcut.inDialog) continue;
      if (pressesControl || (event.repeat && !shortcut.repeats)) continue;
      if (!shortcut.keys.some((chord) => matches(chord, event))) continue;
      event.preventDefault();
      shortcut.run(event);
      return;
    }
  });
}
