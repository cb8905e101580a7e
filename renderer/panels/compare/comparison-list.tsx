import type { Session } from '#pipelines/engine/contract.ts';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { Icon } from '#renderer/components/icon.tsx';
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
      <ul className="stack tight">
        {sessions.map((session) => (
          <li key={session.id}>
            <button
              type="button"
              className="line-button"
              data-testid="comparison"
              onClick={() => choose({ compareSessionId: session.id })}
            >
              <span className="grow">
                <strong>{`${sideName(adapters, session.adapterA)} against ${sideName(adapters, session.adapterB)}`}</strong>
                <span className="small quiet">{`${plural(session.prompts, 'prompt')} · ${formatWhen(session.createdAt)}`}</span>
              </span>
              <span className={isOver(session) ? 'badge accent' : 'badge'}>
                {isOver(session) ? 'result' : `${session.remaining ?? 0} questions left`}
              </span>
              <Icon name="right" size={16} />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
