import { Button } from '#renderer/components/button.tsx';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { useApp } from '#renderer/state/app.ts';
import { go, useNavigation } from '#renderer/state/navigation.ts';
import { CompareForm } from './compare-form.tsx';
import { CompareSession } from './compare-session.tsx';
import { ComparisonList } from './comparison-list.tsx';

export function ComparePanel() {
  const sessions = (useApp((s) => s.sessions) ?? []).filter((session) => session.kind === 'blind');
  const adapters = useApp((s) => s.adapters) ?? [];
  const id = useNavigation((s) => s.compareSessionId);
  if (adapters.length === 0 && sessions.length === 0) {
    return (
      <EmptyState
        icon={<Icon name="compare" size={44} />}
        title="Nothing to compare yet"
        action={
          <Button look="primary" onClick={() => go('tune')}>
            Go to Tune
          </Button>
        }
      >
        Comparing shows the base model and a tuned one side by side without saying which is which, so that you can trust
        your own answer. Tune an adapter first.
      </EmptyState>
    );
  }
  if (id) return <CompareSession key={id} id={id} />;
  return (
    <div className="two">
      <CompareForm />
      <ComparisonList sessions={sessions} />
    </div>
  );
}
