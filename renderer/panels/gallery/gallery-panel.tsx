import { useEffect, useRef, useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { gridShape, moveInGrid } from '#renderer/logic/grid.ts';
import { useApp } from '#renderer/state/app.ts';
import { go } from '#renderer/state/navigation.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { GalleryActions } from './gallery-actions.tsx';
import { GalleryDetail } from './gallery-detail.tsx';
import { GalleryGrid } from './gallery-grid.tsx';
import {
  clearError,
  current,
  moveTo,
  reload,
  selectAll,
  selectNone,
  setQuery,
  showDetail,
  starTargets,
  toggleSelected,
  toggleTag,
  trashTargets,
  undoTrash,
  useGallery,
} from './gallery-store.ts';
import { ScoreDialog } from './score-dialog.tsx';
import { SearchBox } from './search-box.tsx';
import { TagDialog } from './tag-dialog.tsx';

const GROUP = 'Gallery';

const MOVES: readonly (readonly [does: string, keys: readonly string[]])[] = [
  ['Move', ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown']],
  ['By pages, or to an end', ['PageUp', 'PageDown', 'Home', 'End']],
];

/** Every picture of the project: found, marked, thrown away, and sent on to ranking. */
export function GalleryPanel() {
  const phase = useApp((s) => s.connection.phase);
  const { seqs, query, detail, error } = useGallery();
  const [dialog, setDialog] = useState<'tags' | 'score' | null>(null);
  const grid = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);

  useEffect(() => {
    if (phase === 'ready') void reload();
  }, [phase]);

  const move = (key: string, extend: boolean) => {
    const { cursor, seqs: list, side } = useGallery.getState();
    const { columns, pitch } = gridShape(grid.current?.clientWidth ?? 0, side);
    const rows = Math.floor((grid.current?.clientHeight ?? 0) / pitch);
    moveTo(moveInGrid(cursor, key, columns, rows, list?.length ?? 0), extend);
    grid.current?.focus({ preventScroll: true });
  };
  const search = () => {
    field.current?.focus();
    field.current?.select();
  };
  const tag = () => current() !== undefined && setDialog('tags');
  const recallSettings = () => {
    const sample = useGallery.getState().rows.get(current() ?? -1);
    if (sample) go('generate', { recalled: sample });
  };
  const startFromIt = () => {
    const sample = useGallery.getState().rows.get(current() ?? -1);
    if (sample) go('generate', { start: sample });
  };
  useShortcuts([
    { keys: ['/'], does: 'Search', group: GROUP, run: search },
    ...MOVES.flatMap(([does, keys]) => [
      { keys, does, group: GROUP, repeats: true, run: (event: KeyboardEvent) => move(event.key, false) },
      {
        keys: keys.map((key) => `Shift+${key}`),
        does: `${does}, selecting on the way`,
        group: GROUP,
        repeats: true,
        run: (event: KeyboardEvent) => move(event.key, true),
      },
    ]),
    {
      keys: ['x', ' '],
      does: 'Select, or not',
      group: GROUP,
      run: () => toggleSelected(useGallery.getState().cursor),
    },
    { keys: ['Ctrl+a'], does: 'Select all that match', group: GROUP, run: selectAll },
    { keys: ['Escape'], does: 'Select none', group: GROUP, run: selectNone },
    { keys: ['Enter', 'i'], does: 'Show everything about the picture', group: GROUP, run: () => showDetail(!detail) },
    { keys: ['s', '.'], does: 'Star', group: GROUP, run: () => void starTargets() },
    { keys: ['t'], does: 'Tag', group: GROUP, run: tag },
    {
      keys: ['1', '2', '3', '4', '5', '6', '7', '8', '9'],
      does: 'Give or take the tag at this place of the list',
      group: GROUP,
      run: (event) => {
        const digit = /\d/.exec(event.code)?.[0] ?? event.key;
        const name = useGallery.getState().tags[Number(digit) - 1]?.name;
        if (name !== undefined) void toggleTag(name);
      },
    },
    { keys: ['r'], does: 'Recall the settings in Generate', group: GROUP, run: recallSettings },
    { keys: ['u'], does: 'Use as start in Generate', group: GROUP, run: startFromIt },
    { keys: ['Delete'], does: 'Throw away', group: GROUP, run: () => void trashTargets() },
    { keys: ['Ctrl+z'], does: 'Bring back what was thrown away last', group: GROUP, run: () => void undoTrash() },
  ]);

  return (
    <div className={detail ? 'gallery with-detail' : 'gallery'}>
      <section className="gallery-main" aria-label="Gallery">
        <SearchBox field={field} leave={() => grid.current?.focus()} />
        <GalleryActions tag={tag} score={() => setDialog('score')} />
        {error && <ErrorNote error={error} dismiss={clearError} />}
        {seqs?.length === 0 ? <Nothing query={query} /> : <GalleryGrid box={grid} />}
      </section>
      {detail && <GalleryDetail recallSettings={recallSettings} startFromIt={startFromIt} tag={tag} />}
      {dialog === 'tags' && <TagDialog close={() => setDialog(null)} />}
      {dialog === 'score' && <ScoreDialog close={() => setDialog(null)} />}
    </div>
  );
}

function Nothing({ query }: { query: string }) {
  if (query.trim() === '') {
    return (
      <EmptyState
        icon={<Icon name="gallery" size={44} />}
        title="Every picture you make comes here"
        steps={[
          'Generate some pictures. They are kept with everything that made them.',
          'Star and tag what you like: press S or T. Find it again by words, seed, model or score.',
          'Select a few and rank them, or throw away what failed: votes on it are kept.',
        ]}
        action={
          <Button look="primary" onClick={() => go('generate')}>
            Go to Generate
          </Button>
        }
      />
    );
  }
  return (
    <EmptyState
      icon={<Icon name="search" size={44} />}
      title="No picture matches"
      action={<Button onClick={() => setQuery('')}>Show all pictures</Button>}
    >
      Everything in the search must hold at once. Take a filter out, or begin a word only: “tul” finds tulips.
    </EmptyState>
  );
}
