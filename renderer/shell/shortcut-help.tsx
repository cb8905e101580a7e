import { Dialog } from '#renderer/components/dialog.tsx';
import { Kbd } from '#renderer/components/kbd.tsx';
import { activeShortcuts } from '#renderer/state/shortcuts.ts';

/** Everything the keyboard does here and now, read from the shortcuts that are registered. */
export function ShortcutHelp({ close }: { close(): void }) {
  const groups = Map.groupBy(
    activeShortcuts().filter((shortcut) => !shortcut.inDialog),
    (shortcut) => shortcut.group,
  );
  return (
    <Dialog title="Keyboard shortcuts" close={close} testId="shortcut-help">
      <div className="shortcut-groups">
        {[...groups].map(([group, shortcuts]) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>
              {shortcuts.map((shortcut) => (
                <div key={shortcut.keys.join()}>
                  <dt>{shortcut.does}</dt>
                  <dd>
                    {shortcut.keys.map((chord) => (
                      <Kbd key={chord} chord={chord} />
                    ))}
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <p className="quiet small">Keys rest while a text field has focus.</p>
    </Dialog>
  );
}
