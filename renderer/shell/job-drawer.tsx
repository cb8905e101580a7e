import { useState } from 'react';
import type { Job } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { Progress } from '#renderer/components/progress.tsx';
import { formatDuration, formatPercent, formatWhen, plural } from '#renderer/logic/format.ts';
import { takeJob, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { useAction } from '#renderer/state/use-action.ts';

const stateNames: Readonly<Record<Job['state'], string>> = {
  queued: 'waiting',
  running: 'running',
  paused: 'paused',
  done: 'done',
  failed: 'failed',
  cancelled: 'cancelled',
  'set-aside': 'set aside',
};

function JobRow({ job }: { job: Job }) {
  const action = useAction();
  const ask = (call: 'jobs.pause' | 'jobs.resume' | 'jobs.cancel') =>
    action.run(async () => takeJob(await engine.call(call, { id: job.id })));
  const open = job.state === 'running' || job.state === 'queued' || job.state === 'paused';
  const canResume = job.state === 'paused' || job.state === 'failed' || job.state === 'set-aside';
  return (
    <li className="job" data-testid="job" data-state={job.state} data-kind={job.kind}>
      <div className="job-head">
        <span
          className={`badge ${job.state === 'running' ? 'accent' : job.state === 'failed' || job.state === 'set-aside' ? 'bad' : ''}`}
        >
          {stateNames[job.state]}
        </span>
        <span className="grow cut">{job.title}</span>
        <span className="small quiet">{formatWhen(job.createdAt)}</span>
        {job.state === 'running' && (
          <Button size="small" busy={action.busy} onClick={() => ask('jobs.pause')} data-testid="job-pause">
            Pause
          </Button>
        )}
        {canResume && (
          <Button size="small" busy={action.busy} onClick={() => ask('jobs.resume')} data-testid="job-resume">
            Resume
          </Button>
        )}
        {open && (
          <Button
            size="small"
            look="danger"
            busy={action.busy}
            onClick={() => ask('jobs.cancel')}
            data-testid="job-cancel"
          >
            Cancel
          </Button>
        )}
      </div>
      {open && (
        <Progress
          label={job.title}
          done={job.done}
          total={job.total}
          stage={job.state === 'queued' ? 'waits for its turn' : job.stage}
          etaSeconds={job.state === 'running' ? job.etaSeconds : null}
          moving={job.state === 'running'}
        />
      )}
      {job.error && <ErrorNote error={job.error} />}
      {job.state === 'set-aside' && (
        <p className="small quiet">
          It ended the compute process twice in a row, so it does not start by itself. What it finished is kept.
        </p>
      )}
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
    </li>
  );
}

/** The queue, at the bottom of every place. Closed it is one line; it never blocks anything. */
export function JobDrawer() {
  const [open, setOpen] = useState(false);
  const jobs = useApp((s) => s.jobs) ?? [];
  const running = jobs.find((job) => job.state === 'running');
  const waiting = jobs.filter((job) => job.state === 'queued').length;
  const paused = jobs.filter((job) => job.state === 'paused').length;
  const stuck = jobs.filter((job) => job.state === 'failed' || job.state === 'set-aside').length;
  useShortcuts([{ keys: ['j'], does: 'Open or close the queue', group: 'Everywhere', run: () => setOpen(!open) }]);
  const summary = running
    ? `${running.title} · ${running.stage}`
    : waiting > 0
      ? `${plural(waiting, 'job')} waiting`
      : paused > 0
        ? `${plural(paused, 'job')} paused`
        : 'Nothing is running';
  return (
    <section className={open ? 'drawer open' : 'drawer'} aria-label="Queue">
      <button
        type="button"
        className="drawer-head"
        aria-expanded={open}
        aria-keyshortcuts="j"
        data-testid="queue-toggle"
        onClick={() => setOpen(!open)}
      >
        <Icon name={open ? 'down' : 'up'} size={16} />
        <strong>Queue</strong>
        <span className="grow cut quiet">{summary}</span>
        {stuck > 0 && (
          <span className="badge bad">{stuck === 1 ? '1 job needs a look' : `${stuck} jobs need a look`}</span>
        )}
        {running && waiting > 0 && <span className="badge">{waiting} waiting</span>}
        {running && running.total > 0 && (
          <span className="number quiet small">
            {formatPercent(running.done / running.total)}
            {running.etaSeconds !== null && ` · ${formatDuration(running.etaSeconds)} left`}
          </span>
        )}
        {running && running.total > 0 && (
          <span className="drawer-line" style={{ width: `${Math.min(100, (running.done / running.total) * 100)}%` }} />
        )}
      </button>
      {open && (
        <div className="drawer-body">
          {jobs.length === 0 ? (
            <p className="quiet small">Jobs appear here with their progress. They survive a restart of the app.</p>
          ) : (
            <ul>
              {jobs.slice(0, 50).map((job) => (
                <JobRow key={job.id} job={job} />
              ))}
            </ul>
          )}
        </div>
      )}
    </section>
  );
}
