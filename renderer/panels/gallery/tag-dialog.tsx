import { useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { Dialog } from '#renderer/components/dialog.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Kbd } from '#renderer/components/kbd.tsx';
import { plural } from '#renderer/logic/format.ts';
import { engine } from '#renderer/state/engine.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { tagTargets, targets, useGallery } from './gallery-store.ts';

const OFFERED = 8;

/** Adds and removes tags of the selected pictures: type, complete with Tab or the arrows, Enter adds. */
export function TagDialog({ close }: { close(): void }) {
  const { rows, tags } = useGallery();
  const [text, setText] = useState('');
  const [at, setAt] = useState(-1);
  const action = useAction();
  const seqs = targets();
  const counts = new Map<string, number>();
  for (const seq of seqs) for (const tag of rows.get(seq)?.tags ?? []) counts.set(tag, (counts.get(tag) ?? 0) + 1);
  const typed = text.trim().toLowerCase();
  const offered = tags
    .map(({ name }) => name)
    .filter((name) => name.includes(typed) && counts.get(name) !== seqs.length)
    .sort((a, b) => Number(b.startsWith(typed)) - Number(a.startsWith(typed)))
    .slice(0, OFFERED);

  /** The key that gives the tag in the grid. */
  const keyOf = (name: string) => {
    const place = tags.findIndex((tag) => tag.name === name) + 1;
    return place >= 1 && place <= 9 ? String(place) : null;
  };
  const add = (name: string) =>
    action.run(async () => {
      if (name.trim() === '') return;
      await tagTargets(name.split(','), []);
      setText('');
      setAt(-1);
    });
  const remove = (name: string) => action.run(() => tagTargets([], [name]));

  return (
    <Dialog title={`Tags of ${plural(seqs.length, 'picture')}`} close={close} testId="tag-dialog">
      <div className="stack gallery-tags">
        <input
          type="text"
          className="input"
          role="combobox"
          aria-label="Add a tag"
          aria-expanded={offered.length > 0}
          aria-controls="tags-offered"
          aria-activedescendant={at >= 0 ? `tag-offered-${at}` : undefined}
          aria-autocomplete="list"
          autoComplete="off"
          placeholder="A tag, or several with commas"
          value={text}
          data-testid="tag-input"
          onChange={(event) => {
            setText(event.target.value);
            setAt(-1);
          }}
          onKeyDown={(event) => {
            const completed = offered[Math.max(0, at)];
            if (event.key === 'Enter') {
              event.preventDefault();
              if (text.trim() === '' && at < 0) close();
              else void add(at >= 0 ? (offered[at] ?? text) : text);
            } else if (event.key === 'Tab' && !event.shiftKey && typed !== '' && completed !== undefined) {
              event.preventDefault();
              setText(completed);
            } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
              event.preventDefault();
              setAt(Math.min(offered.length - 1, Math.max(-1, at + (event.key === 'ArrowDown' ? 1 : -1))));
            }
          }}
        />
        <div id="tags-offered" role="listbox" aria-label="Known tags" className="row wrap">
          {offered.map((name, i) => (
            <button
              key={name}
              id={`tag-offered-${i}`}
              type="button"
              role="option"
              aria-selected={i === at}
              tabIndex={-1}
              className={i === at ? 'chip on' : 'chip'}
              onClick={() => void add(name)}
            >
              {name}
              {keyOf(name) !== null && <Kbd chord={keyOf(name) ?? ''} silent />}
            </button>
          ))}
        </div>
        <div className="row wrap" data-testid="tags-given">
          {[...counts].sort().map(([name, count]) => (
            <button
              key={name}
              type="button"
              className="chip on"
              aria-label={`Remove the tag ${name}`}
              onClick={() => void remove(name)}
            >
              {count < seqs.length ? `${name} (${count} of ${seqs.length})` : name} ×
            </button>
          ))}
          {counts.size === 0 && <span className="small quiet">No tags yet.</span>}
        </div>
        {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
        {tags.length > 0 && <RenameTag />}
        <Button onClick={close}>Done</Button>
      </div>
    </Dialog>
  );
}

/** For the whole project. A name that exists takes the pictures of the other in. */
function RenameTag() {
  const tags = useGallery((s) => s.tags);
  const [from, setFrom] = useState('');
  const [to, setTo] = useState('');
  const action = useAction();
  const merges = tags.some(({ name }) => name === to.trim().toLowerCase());
  return (
    <details className="fold">
      <summary>Rename or merge a tag everywhere</summary>
      <div className="inside stack tight">
        <div className="row">
          <select
            className="input"
            aria-label="Tag to rename"
            value={from}
            onChange={(event) => setFrom(event.target.value)}
          >
            <option value="">Choose a tag</option>
            {tags.map(({ name, count }) => (
              <option key={name} value={name}>{`${name} (${count})`}</option>
            ))}
          </select>
          <input
            type="text"
            className="input"
            aria-label="New name"
            placeholder="New name"
            value={to}
            onChange={(event) => setTo(event.target.value)}
          />
          <Button
            busy={action.busy}
            disabled={from === '' || to.trim() === ''}
            onClick={() =>
              action.run(async () => {
                await engine.call('samples.renameTag', { from, to });
                setFrom('');
                setTo('');
              })
            }
          >
            {merges ? 'Merge' : 'Rename'}
          </Button>
        </div>
        {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
      </div>
    </details>
  );
}
