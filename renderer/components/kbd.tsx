import { chordLabel } from '#renderer/logic/shortcuts.ts';

/** A key as printed on a keyboard. Read out only where it is not already said by `aria-keyshortcuts`. */
export function Kbd({ chord, silent = false }: { chord: string; silent?: boolean }) {
  return (
    <kbd className="kbd" aria-hidden={silent}>
      {chordLabel(chord)}
    </kbd>
  );
}
