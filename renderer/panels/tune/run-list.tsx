import type { Run } from '#pipelines/engine/contract.ts';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { LineList } from '#renderer/components/line-list.tsx';
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
      <LineList
        testId="run"
        lines={runs.map((run) => ({
          id: run.id,
          title: run.name,
          detail: `${run.algorithm} · ${formatWhen(run.createdAt)}`,
          end: (
            <>
              <span className={`badge ${run.state === 'running' ? 'accent' : run.state === 'failed' ? 'bad' : ''}`}>
                {run.state}
              </span>
              <span className="figure">
                <strong className="number">
                  {run.totalSteps > 0 ? formatPercent(run.step / run.totalSteps) : '–'}
                </strong>
                <span className="small quiet number">{`${run.step} of ${run.totalSteps}`}</span>
              </span>
            </>
          ),
          open: () => choose({ runId: run.id }),
        }))}
      />
    </section>
  );
}
