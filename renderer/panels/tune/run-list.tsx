import type { Run } from '#pipelines/engine/contract.ts';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { formatPercent, formatWhen } from '#renderer/logic/format.ts';
import { choose } from '#renderer/state/navigation.ts';

export function RunList({ runs }: { runs: readonly Run[] }) {
  if (runs.length === 0) {
    return (
      <div className="centre">
        <EmptyState
          icon={<Icon name="tune" size={44} />}
          title="Tune the model toward your taste"
          steps={[
            'Choose the rankings to learn from, on the left. The defaults follow the published method.',
            'Watch the share of pairs ordered your way rise, and the fixed-seed pictures change.',
            'Stop and keep whenever you like what you see. The result is a small adapter file; the model stays as it was.',
          ]}
        />
      </div>
    );
  }
  return (
    <section className="centre" aria-label="Runs">
      <h2>Runs</h2>
      <ul className="stack tight">
        {runs.map((run) => (
          <li key={run.id}>
            <button type="button" className="line-button" data-testid="run" onClick={() => choose({ runId: run.id })}>
              <span className="grow">
                <strong>{run.name}</strong>
                <span className="small quiet">{`${run.algorithm} · ${formatWhen(run.createdAt)}`}</span>
              </span>
              <span className={`badge ${run.state === 'running' ? 'accent' : run.state === 'failed' ? 'bad' : ''}`}>
                {run.state}
              </span>
              <span className="figure">
                <strong className="number">
                  {run.totalSteps > 0 ? formatPercent(run.step / run.totalSteps) : '–'}
                </strong>
                <span className="small quiet number">{`${run.step} of ${run.totalSteps}`}</span>
              </span>
              <Icon name="right" size={16} />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
