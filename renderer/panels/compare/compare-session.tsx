import { useEffect, useMemo, useState } from 'react';
import { useStore } from 'zustand';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { Progress } from '#renderer/components/progress.tsx';
import { takeJob, takeSession, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { choose } from '#renderer/state/navigation.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { createVoting } from '#renderer/voting/voting-store.ts';
import { VotingView } from '#renderer/voting/voting-view.tsx';
import { isOver, reveal } from './labels.ts';
import { Result } from './result.tsx';

/** One blind comparison: first its pictures are made, then it asks, then it tells. */
export function CompareSession({ id }: { id: string }) {
  const session = useApp((s) => s.sessions?.find((candidate) => candidate.id === id));
  const job = useApp((s) => s.jobs?.find((candidate) => candidate.sessionId === id));
  const [revealed, setRevealed] = useState(false);
  const over = revealed || (session !== undefined && isOver(session));
  const making = job !== undefined && job.state !== 'done';
  const back = (
    <Button look="plain" size="small" onClick={() => choose({ compareSessionId: null })}>
      <Icon name="left" size={16} />
      All comparisons
    </Button>
  );
  if (!session) return <div>{back}</div>;
  const answered = session.votes;
  const total = answered + (session.remaining ?? 0);
  return (
    <div className="rank">
      <header className="row apart">
        <div className="row grow">
          {back}
          <h2 className="cut">Blind comparison</h2>
        </div>
        {!making && !over && (
          <div className="row">
            <span className="number quiet" data-testid="compare-count">{`${answered} of ${total} answered`}</span>
            <Button
              disabled={answered === 0}
              title="Shows the result so far and which side was which. The comparison is over then."
              data-testid="reveal-now"
              onClick={() => {
                reveal(id);
                setRevealed(true);
              }}
            >
              Reveal now and end
            </Button>
          </div>
        )}
      </header>
      {making ? (
        <Making jobId={job.id} />
      ) : over ? (
        <Result id={id} />
      ) : (
        <Ask id={id} finished={() => setRevealed(true)} />
      )}
    </div>
  );
}

function Ask({ id, finished }: { id: string; finished(): void }) {
  const phase = useApp((s) => s.connection.phase);
  const voting = useMemo(() => createVoting(engine, id, takeSession), [id]);
  const state = useStore(voting.store, (s) => s.phase);
  useEffect(() => {
    if (phase === 'ready') void voting.load();
  }, [voting, phase]);
  useEffect(() => {
    if (state === 'finished') finished();
  }, [state, finished]);
  return <VotingView voting={voting} ask="Which do you like better?" finished="Counting the answers…" />;
}

function Making({ jobId }: { jobId: string }) {
  const job = useApp((s) => s.jobs?.find((candidate) => candidate.id === jobId));
  const action = useAction();
  if (!job) return null;
  const ask = (call: 'jobs.resume' | 'jobs.cancel') =>
    action.run(async () => takeJob(await engine.call(call, { id: jobId })));
  const open = job.state === 'running' || job.state === 'queued';
  return (
    <div className="making-of card stack">
      <h2>
        {open
          ? 'Drawing the pictures of both sides'
          : job.state === 'cancelled'
            ? 'This comparison was cancelled'
            : 'Drawing has stopped'}
      </h2>
      <p className="quiet">
        {open
          ? 'The questions begin when all of them are there, so that nothing gives a side away. You can do something else meanwhile.'
          : 'What is finished is kept.'}
      </p>
      <Progress
        label={job.title}
        done={job.done}
        total={job.total}
        stage={job.state === 'queued' ? 'waits for its turn' : job.stage}
        etaSeconds={job.state === 'running' ? job.etaSeconds : null}
        moving={job.state === 'running'}
        testId="compare-progress"
      />
      {job.error && <ErrorNote error={job.error} />}
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
      <div className="row">
        {!open && job.state !== 'cancelled' && (
          <Button look="primary" busy={action.busy} onClick={() => ask('jobs.resume')}>
            Go on
          </Button>
        )}
        {job.state !== 'cancelled' && (
          <Button look="danger" busy={action.busy} onClick={() => ask('jobs.cancel')}>
            Cancel
          </Button>
        )}
      </div>
    </div>
  );
}
