import { useEffect, useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Toasts } from '#renderer/components/toasts.tsx';
import { panels } from '#renderer/panels/index.ts';
import { synchronise, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { recall, remember } from '#renderer/state/memory.ts';
import { choose, go, places, useNavigation } from '#renderer/state/navigation.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { JobDrawer } from './job-drawer.tsx';
import { placeNames } from './place-names.ts';
import { Rail } from './rail.tsx';
import { ShortcutHelp } from './shortcut-help.tsx';
import { TopStrip } from './top-strip.tsx';

/**
 * When nothing is in hand, takes the model of the last visit, or the first usable one, of pictures rather than sequences; lets go of
 * what no longer exists.
 */
function useSomethingInHand(): void {
  const models = useApp((s) => s.models);
  const modelId = useNavigation((s) => s.modelId);
  useEffect(() => {
    if (!models) return;
    if (models.some((model) => model.id === modelId)) return remember('model', modelId ?? '');
    const usable = models.filter((model) => model.usable);
    const last = usable.find((model) => model.id === recall('model'));
    const first = last ?? usable.find((model) => model.sampling !== null) ?? usable[0] ?? models[0];
    choose({ modelId: first?.id ?? null, adapterId: null });
  }, [models, modelId]);
}

export function Shell() {
  const [help, setHelp] = useState(false);
  const place = useNavigation((s) => s.place);
  const { connection, error, info } = useApp();
  const Panel = panels[place];
  useSomethingInHand();
  useShortcuts([
    ...places.map((to, i) => ({
      keys: [`Ctrl+${i + 1}`],
      does: placeNames[to],
      group: 'Everywhere',
      inFields: true,
      run: () => go(to),
    })),
    { keys: ['?'], does: 'Show these shortcuts', group: 'Everywhere', run: () => setHelp(true) },
  ]);
  useEffect(() => {
    document.title = `${placeNames[place]} · Northlight`;
  }, [place]);

  return (
    <div className="shell">
      <Rail showHelp={() => setHelp(true)} />
      <TopStrip />
      <main className="work" data-testid={`place-${place}`}>
        <h1 className="hidden-text">{placeNames[place]}</h1>
        {connection.phase === 'refused' && <ErrorNote error={connection.error} />}
        {error && <ErrorNote error={error} retry={() => void synchronise(engine)} />}
        {info || connection.phase === 'refused' || error ? (
          <Panel key={place} />
        ) : connection.phase === 'waiting' && connection.attempt > 2 ? (
          <EmptyState
            title="The engine does not answer"
            steps={[
              'Look whether Northlight still runs in the terminal or in the app that opened this window.',
              'If it has stopped, start it again. Jobs come back as they were saved.',
              'This window reconnects by itself.',
            ]}
            action={<Button onClick={() => location.reload()}>Reload the window</Button>}
          />
        ) : (
          <p className="quiet" role="status">
            Connecting to the engine…
          </p>
        )}
      </main>
      <JobDrawer />
      <Toasts />
      {help && <ShortcutHelp close={() => setHelp(false)} />}
    </div>
  );
}
