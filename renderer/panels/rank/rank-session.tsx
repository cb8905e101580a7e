import { useEffect, useMemo, useState } from 'react';
import { useStore } from 'zustand';
import type { Output } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { formatPercent, plural } from '#renderer/logic/format.ts';
import { takeSession, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { choose, go } from '#renderer/state/navigation.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';
import { createVoting } from '#renderer/voting/voting-store.ts';
import { VotingView } from '#renderer/voting/voting-view.tsx';
import { Ladder } from './ladder.tsx';

type Standings = Output<'sessions.standings'>;

/** Pause after a vote before the standings are read again, so that fast voting is not slowed by them. */
const SETTLE_MS = 700;

export function RankSession({ id }: { id: string }) {
  const session = useApp((s) => s.sessions?.find((candidate) => candidate.id === id));
  const phase = useApp((s) => s.connection.phase);
  const voting = useMemo(() => createVoting(engine, id, takeSession), [id]);
  const changes = useStore(voting.store, (s) => s.changes);
  const question = useStore(voting.store, (s) => s.question);
  const [standings, setStandings] = useState<Standings | null>(null);
  const [error, setError] = useState<EngineError | null>(null);
  const [side, setSide] = useState(true);
  useShortcuts([{ keys: ['g'], does: 'Show or hide the standings', group: 'Rank', run: () => setSide(!side) }]);

  useEffect(() => {
    if (phase === 'ready') void voting.load();
  }, [voting, phase]);
  useEffect(() => {
    const timer = setTimeout(
      () => {
        engine.call('sessions.standings', { id }).then(
          (answer) => {
            setStandings(answer);
            setError(null);
          },
          (thrown) => setError(toEngineError(thrown)),
        );
      },
      changes === 0 ? 0 : SETTLE_MS,
    );
    return () => clearTimeout(timer);
  }, [id, changes]);

  const votes = session?.votes ?? standings?.votes ?? 0;
  const enough = question?.enough === true || standings?.enough === true;
  const accuracy = standings?.heldOutAccuracy ?? null;
  return (
    <div className="rank">
      <header className="row apart">
        <div className="row grow">
          <Button look="plain" size="small" onClick={() => choose({ rankSessionId: null })} data-testid="all-sessions">
            <Icon name="left" size={16} />
            All rankings
          </Button>
          <h2 className="cut">{session?.name ?? 'Ranking'}</h2>
        </div>
        <div className="row">
          <span className="number" data-testid="vote-count">
            <strong>{votes}</strong> <span className="quiet">{votes === 1 ? 'vote' : 'votes'}</span>
          </span>
          {enough && (
            <span className="badge accent" data-testid="enough">
              enough to tune
            </span>
          )}
          <Button
            look={enough ? 'primary' : undefined}
            disabled={votes === 0}
            onClick={() => go('tune', { tuneSessionIds: [id], runId: null })}
            data-testid="tune-with-these"
          >
            Tune with these votes
          </Button>
        </div>
      </header>
      <div className={side ? 'rank-body' : 'rank-body alone'}>
        <VotingView
          voting={voting}
          ask={question?.mode === 'best-of-n' ? 'Which do you like best?' : 'Which do you like better?'}
          finished="There is nothing left to ask about these pictures. Tune with your votes, or generate more pictures to rank."
        />
        {side && (
          <aside className="standings" aria-label="Standings" data-testid="standings">
            <h3>How settled it is</h3>
            <p className="small quiet">
              {accuracy === null
                ? `After a few more votes this shows how well your votes predict one another. ${plural(votes, 'vote')} so far.`
                : `Scores fitted to your votes predict ${formatPercent(accuracy)} of votes they have not seen. ${
                    enough
                      ? 'That is enough to tune; more still helps.'
                      : 'A coin would reach 50%: keep going until this is clearly above.'
                  }`}
            </p>
            {error && <ErrorNote error={error} />}
            {standings && standings.standings.length > 0 && <Ladder standings={standings.standings} />}
          </aside>
        )}
      </div>
    </div>
  );
}
