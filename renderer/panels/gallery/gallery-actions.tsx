import { useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { formatCount, plural } from '#renderer/logic/format.ts';
import { takeSession } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { desktop } from '#renderer/state/host.ts';
import { go } from '#renderer/state/navigation.ts';
import { say } from '#renderer/state/toasts.ts';
import { useAction } from '#renderer/state/use-action.ts';
import {
  isTrash,
  reload,
  selectNone,
  setOrder,
  setSide,
  showNews,
  starTargets,
  targets,
  trashTargets,
  undoTrash,
  useGallery,
} from './gallery-store.ts';

/** What can be done with the selection, how the list is ordered, and how large its pictures are. */
export function GalleryActions({ tag, score }: { tag(): void; score(): void }) {
  const { selected, trashed, news, rows, terms, total } = useGallery();
  const action = useAction();
  const [exported, setExported] = useState<string | null>(null);
  const inTrash = isTrash(terms);
  const [sure, setSure] = useState(false);
  const some = selected.size > 0;

  const rank = () =>
    action.run(async () => {
      const seqs = targets();
      const prompt = seqs.map((seq) => rows.get(seq)?.prompt).find((text) => text !== undefined);
      const name = prompt === undefined ? plural(seqs.length, 'picture') : `${seqs.length} × “${prompt}”`;
      const session = await engine.call('sessions.create', { name: name.slice(0, 80), mode: 'pair', seqs });
      takeSession(session);
      go('rank', { rankSessionId: session.id });
    });

  const exportThem = () =>
    action.run(async () => {
      const folder = await desktop().pickFolder?.();
      if (folder === null) return;
      const result = await engine.call('samples.export', { seqs: targets(), ...(folder !== undefined && { folder }) });
      setExported(
        `${plural(result.count, 'picture')} copied to ${result.folder}${result.missing > 0 ? `; ${result.missing} have no file` : ''}.`,
      );
    });

  const restore = () => action.run(async () => void (await engine.call('samples.restore', { seqs: targets() })));

  const emptyTrash = () =>
    action.run(async () => {
      const { removed, kept } = await engine.call('samples.emptyTrash', {});
      say(
        `${plural(removed, 'picture')} removed for good${kept > 0 ? `; ${kept} kept because votes are about them` : ''}.`,
      );
      await reload();
    });

  return (
    <div className="stack tight">
      <div className="row wrap gallery-actions">
        <Count />
        {news > 0 && (
          <button type="button" className="chip on" data-testid="gallery-news" onClick={() => void showNews()}>
            {`${news} new ↑`}
          </button>
        )}
        {some && (
          <>
            <span
              className="badge accent number"
              data-testid="gallery-selected"
            >{`${formatCount(selected.size)} selected`}</span>
            <Button size="small" shortcut="s" onClick={() => void starTargets()}>
              <Icon name="star" size={14} /> Star
            </Button>
            <Button size="small" shortcut="t" onClick={tag}>
              <Icon name="tag" size={14} /> Tag
            </Button>
            <Button size="small" busy={action.busy} onClick={rank} data-testid="gallery-rank">
              Rank these
            </Button>
            <Button size="small" busy={action.busy} onClick={exportThem} data-testid="gallery-export">
              Export
            </Button>
            {inTrash ? (
              <Button size="small" busy={action.busy} onClick={restore}>
                Put back
              </Button>
            ) : (
              <Button size="small" look="danger" shortcut="Delete" onClick={() => void trashTargets()}>
                <Icon name="trash" size={14} />
              </Button>
            )}
            <Button size="small" look="plain" shortcut="Escape" onClick={selectNone}>
              None
            </Button>
          </>
        )}
        {inTrash && (
          <Button
            size="small"
            look="danger"
            busy={action.busy}
            disabled={total === 0}
            onBlur={() => setSure(false)}
            onClick={() => (sure ? void emptyTrash() : setSure(true))}
          >
            {sure ? 'Remove all in the trash for good' : 'Empty the trash…'}
          </Button>
        )}
        {trashed.length > 0 && !inTrash && (
          <Button size="small" shortcut="Ctrl+z" onClick={() => void undoTrash()} data-testid="gallery-undo">
            {`Undo: ${plural(trashed.at(-1)?.length ?? 0, 'picture')} thrown away`}
          </Button>
        )}
        <span className="grow" />
        <Button size="small" onClick={score} data-testid="gallery-score">
          Score…
        </Button>
        <Order />
        <Density />
      </div>
      {exported !== null && (
        <p className="small" role="status" data-testid="gallery-exported">
          {exported}
        </p>
      )}
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
    </div>
  );
}

function Count() {
  const { seqs, total, order, reward } = useGallery();
  const shown = seqs?.length ?? 0;
  const byScore = (order === 'best' || order === 'worst') && shown < total;
  return (
    <span className="small quiet number" role="status" data-testid="gallery-count">
      {seqs === null
        ? 'reading…'
        : byScore
          ? `${shown} of ${total} have a score by ${reward}`
          : plural(shown, 'picture')}
    </span>
  );
}

function Order() {
  const { order, reward, rewards } = useGallery();
  const scored = rewards.filter((r) => r.scored > 0);
  return (
    <select
      className="input gallery-order"
      aria-label="Order"
      value={reward === null ? order : `${order}:${reward}`}
      data-testid="gallery-order"
      onChange={(event) => {
        const [by, ...name] = event.target.value.split(':');
        setOrder(by as typeof order, name.length > 0 ? name.join(':') : null);
      }}
    >
      <option value="newest">Newest first</option>
      <option value="oldest">Oldest first</option>
      <option value="seed">By seed</option>
      {scored.map((r) => (
        <option key={`best:${r.reward}`} value={`best:${r.reward}`}>{`Highest ${r.reward}`}</option>
      ))}
      {scored.map((r) => (
        <option key={`worst:${r.reward}`} value={`worst:${r.reward}`}>{`Lowest ${r.reward}`}</option>
      ))}
    </select>
  );
}

function Density() {
  const side = useGallery((s) => s.side);
  return (
    <input
      type="range"
      className="gallery-density"
      aria-label="Size of the pictures"
      title="Size of the pictures"
      min={72}
      max={320}
      step={4}
      value={side}
      data-testid="gallery-density"
      onChange={(event) => setSide(Number(event.target.value))}
    />
  );
}
