import { useEffect } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { useApp } from '#renderer/state/app.ts';
import { go, useNavigation } from '#renderer/state/navigation.ts';
import { RunList } from './run-list.tsx';
import { RunView } from './run-view.tsx';
import { TuneForm } from './tune-form.tsx';
import { loadAlgorithms } from './tune-store.ts';

export function TunePanel() {
  const sessions = useApp((s) => s.sessions) ?? [];
  const runs = useApp((s) => s.runs) ?? [];
  const phase = useApp((s) => s.connection.phase);
  const runId = useNavigation((s) => s.runId);
  useEffect(() => {
    if (phase === 'ready') void loadAlgorithms();
  }, [phase]);

  const voted = sessions.filter((session) => session.kind === 'rank' && session.votes > 0);
  if (voted.length === 0 && runs.length === 0) {
    return (
      <EmptyState
        icon={<Icon name="tune" size={44} />}
        title="Your votes come first"
        action={
          <Button look="primary" onClick={() => go('rank')}>
            Go to Rank
          </Button>
        }
      >
        Tuning moves the model toward the pictures you preferred. Answer a few dozen questions first; Rank says when
        they are enough.
      </EmptyState>
    );
  }
  return (
    <div className="two">
      <TuneForm sessions={voted} />
      {runId ? <RunView key={runId} id={runId} /> : <RunList runs={runs} />}
    </div>
  );
}
