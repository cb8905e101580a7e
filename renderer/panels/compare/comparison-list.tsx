import type { Session } from '#pipelines/engine/contract.ts';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { LineList } from '#renderer/components/line-list.tsx';
import { formatWhen, plural } from '#renderer/logic/format.ts';
import { useApp } from '#renderer/state/app.ts';
import { choose } from '#renderer/state/navigation.ts';
import { isOver, sideName } from './labels.ts';

export function ComparisonList({ sessions }: { sessions: readonly Session[] }) {
  const adapters = useApp((s) => s.adapters) ?? [];
  if (sessions.length === 0) {
    return (
      <div className="centre">
        <EmptyState
          icon={<Icon name="compare" size={44} />}
          title="Did tuning help? Ask your own eyes"
          steps={[
            'A and B draw the same prompts from the same seeds.',
            'You choose between them without knowing which is which; sides are shuffled.',
            'At the end you see how often you preferred B, with a 95% interval.',
          ]}
        />
      </div>
    );
  }
  return (
    <section className="centre" aria-label="Comparisons">
      <h2>Comparisons</h2>
      <LineList
        testId="comparison"
        lines={sessions.map((session) => ({
          id: session.id,
          title: `${sideName(adapters, session.adapterA)} against ${sideName(adapters, session.adapterB)}`,
          detail: `${plural(session.prompts, 'prompt')} · ${formatWhen(session.createdAt)}`,
          end: (
            <span className={isOver(session) ? 'badge accent' : 'badge'}>
              {isOver(session) ? 'result' : `${session.remaining ?? 0} questions left`}
            </span>
          ),
          open: () => choose({ compareSessionId: session.id }),
        }))}
      />
    </section>
  );
}
