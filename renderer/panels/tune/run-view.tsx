import { useEffect } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { LineChart } from '#renderer/components/line-chart.tsx';
import { Progress } from '#renderer/components/progress.tsx';
import { type Measure, measures, series } from '#renderer/logic/measures.ts';
import { takeJob, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { choose, go } from '#renderer/state/navigation.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { SampleStrip } from './sample-strip.tsx';
import { planText } from './tune-estimate.tsx';
import { loadRun, useTune } from './tune-store.ts';

/** One run, live or past: progress and what can be done with it, its measures, and its fixed-seed pictures. */
export function RunView({ id }: { id: string }) {
  const run = useApp((s) => s.runs?.find((candidate) => candidate.id === id));
  const job = useApp((s) => s.jobs?.find((candidate) => candidate.id === run?.jobId));
  const phase = useApp((s) => s.connection.phase);
  const detail = useTune((s) => s.run);
  const error = useTune((s) => s.runError);
  const action = useAction();
  useEffect(() => {
    if (phase === 'ready') void loadRun(id);
  }, [id, phase]);
  if (!run) return <div className="centre quiet">This run is not in the project any more.</div>;

  const state = job?.state ?? run.state;
  const live = state === 'running' || state === 'queued' || state === 'paused';
  const ask = (call: 'jobs.pause' | 'jobs.resume' | 'jobs.cancel' | 'jobs.stopAndKeep') =>
    action.run(async () => takeJob(await engine.call(call, { id: run.jobId })));
  const metrics = detail?.id === id ? detail.metrics : [];
  const strip = detail?.id === id ? detail.strip : [];
  const plan = detail?.id === id ? detail.plan : null;
  const { main, rest } = measures(metrics);
  const chart = (measure: Measure) => (
    <div key={measure.key} className="card">
      <LineChart
        title={measure.title}
        help={measure.help}
        points={series(metrics, measure.key)}
        share={measure.share}
        totalSteps={run.totalSteps}
      />
    </div>
  );
  return (
    <section className="centre" aria-label={run.name} data-testid="run-view" data-state={state}>
      <header className="row apart">
        <div className="row grow">
          <Button look="plain" size="small" onClick={() => choose({ runId: null })}>
            <Icon name="left" size={16} />
            All runs
          </Button>
          <h2 className="cut">{run.name}</h2>
          <span
            className={`badge ${state === 'running' ? 'accent' : state === 'failed' || state === 'set-aside' ? 'bad' : ''}`}
          >
            {state}
          </span>
        </div>
        <div className="row">
          {state === 'running' && (
            <Button size="small" busy={action.busy} onClick={() => ask('jobs.pause')} data-testid="tune-pause">
              Pause
            </Button>
          )}
          {(state === 'paused' || state === 'failed' || state === 'set-aside') && (
            <Button size="small" busy={action.busy} onClick={() => ask('jobs.resume')} data-testid="tune-resume">
              Resume
            </Button>
          )}
          {(state === 'running' || state === 'paused') && (
            <Button
              size="small"
              busy={action.busy}
              onClick={() => ask('jobs.stopAndKeep')}
              data-testid="tune-stop-keep"
            >
              Stop and keep
            </Button>
          )}
          {live && (
            <Button
              size="small"
              look="danger"
              busy={action.busy}
              onClick={() => ask('jobs.cancel')}
              data-testid="tune-cancel"
            >
              Cancel
            </Button>
          )}
          {run.adapterId && (
            <Button
              look="primary"
              size="small"
              data-testid="compare-with-base"
              onClick={() =>
                go('compare', { compareAdapterId: run.adapterId, compareSessionId: null, modelId: run.modelId })
              }
            >
              Compare with the base
            </Button>
          )}
        </div>
      </header>
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
      {error && <ErrorNote error={error} retry={() => void loadRun(id)} />}
      {job?.error && <ErrorNote error={job.error} retry={() => void ask('jobs.resume')} />}
      {live && job && (
        <Progress
          label={run.name}
          done={job.done}
          total={job.total}
          stage={state === 'queued' ? 'waits for its turn' : job.stage}
          etaSeconds={state === 'running' ? job.etaSeconds : null}
          moving={state === 'running'}
          testId="tune-progress"
        />
      )}
      {plan && (
        <p className="small quiet number" data-testid="run-plan">
          {`Planned: ${planText(plan)}`}
        </p>
      )}
      <div className="charts">
        {main.length > 0 ? (
          main.map(chart)
        ) : (
          <div className="card">
            <LineChart title="Pairs ordered your way" points={[]} share totalSteps={run.totalSteps} />
          </div>
        )}
      </div>
      <SampleStrip frames={strip} />
      {rest.length > 0 && (
        <Fold title={`More measures (${rest.length})`}>
          <div className="charts">{rest.map(chart)}</div>
        </Fold>
      )}
      <Fold title="Settings and files">
        <dl className="facts">
          <div className="fact">
            <dt>Algorithm</dt>
            <dd>{run.algorithm}</dd>
          </div>
          {Object.entries(run.config).map(([key, value]) => (
            <div key={key} className="fact">
              <dt>{key}</dt>
              <dd>{typeof value === 'string' ? value : JSON.stringify(value)}</dd>
            </div>
          ))}
          <div className="fact">
            <dt>Folder</dt>
            <dd className="mono">{run.directory}</dd>
          </div>
        </dl>
      </Fold>
    </section>
  );
}
