import { useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { LineList } from '#renderer/components/line-list.tsx';
import { Segmented } from '#renderer/components/segmented.tsx';
import { TextField } from '#renderer/components/text-field.tsx';
import { formatWhen, plural } from '#renderer/logic/format.ts';
import { takeSession, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { choose, go } from '#renderer/state/navigation.ts';
import { useAction } from '#renderer/state/use-action.ts';

/** Ranking sessions, and a form for a new one. */
export function SessionList() {
  const sessions = (useApp((s) => s.sessions) ?? []).filter((session) => session.kind === 'rank');
  const jobs = (useApp((s) => s.jobs) ?? []).filter((job) => job.kind === 'generate' && job.done > 0);
  const [name, setName] = useState('');
  const [mode, setMode] = useState<'pair' | 'best-of-n'>('pair');
  const [picked, setPicked] = useState<readonly string[]>([]);
  const action = useAction();

  if (sessions.length === 0 && jobs.length === 0) {
    return (
      <EmptyState
        icon={<Icon name="rank" size={44} />}
        title="Nothing to rank yet"
        action={
          <Button look="primary" onClick={() => go('generate')}>
            Go to Generate
          </Button>
        }
      >
        Ranking asks which of two pictures you like better. It needs at least two pictures of one prompt.
      </EmptyState>
    );
  }
  const create = () =>
    action.run(async () => {
      const fallback = jobs.find((job) => picked.includes(job.id))?.title ?? 'Ranking';
      const session = await engine.call('sessions.create', {
        name: name.trim() || fallback,
        mode,
        jobIds: [...picked],
      });
      takeSession(session);
      choose({ rankSessionId: session.id });
    });
  return (
    <div className="two">
      <form className="side" aria-label="New ranking" onSubmit={(event) => event.preventDefault()}>
        <div className="scroll">
          <h2>New ranking</h2>
          <TextField
            label="Name"
            value={name}
            onChange={setName}
            placeholder="Taken from the pictures"
            testId="session-name"
          />
          <div className="group stack tight">
            <span className="label">Ask for</span>
            <Segmented<'pair' | 'best-of-n'>
              label="Ask for"
              value={mode}
              onChange={(next) => setMode(next)}
              options={[
                { value: 'pair', label: 'Better of two' },
                { value: 'best-of-n', label: 'Best of several' },
              ]}
            />
          </div>
          <fieldset className="group stack tight">
            <legend className="label">Pictures from</legend>
            {jobs.length === 0 && <p className="small quiet">No finished pictures yet. Generate some first.</p>}
            {jobs.map((job) => (
              <label key={job.id} className="check">
                <input
                  type="checkbox"
                  checked={picked.includes(job.id)}
                  data-testid="session-job"
                  onChange={(event) =>
                    setPicked(event.target.checked ? [...picked, job.id] : picked.filter((id) => id !== job.id))
                  }
                />
                <span className="grow">{job.title}</span>
                <span className="small quiet">{formatWhen(job.createdAt)}</span>
              </label>
            ))}
          </fieldset>
        </div>
        <div className="foot">
          {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
          <Button
            look="primary"
            wide
            disabled={picked.length === 0}
            busy={action.busy}
            onClick={create}
            data-testid="session-create"
          >
            Start ranking
          </Button>
        </div>
      </form>
      <section className="centre" aria-label="Rankings">
        <h2>Rankings</h2>
        {sessions.length === 0 && <p className="quiet">None yet. Choose pictures on the left and start one.</p>}
        <LineList
          testId="session"
          lines={sessions.map((session) => ({
            id: session.id,
            title: session.name,
            detail: `${plural(session.samples, 'picture')} of ${plural(session.prompts, 'prompt')} · ${session.mode === 'pair' ? 'better of two' : 'best of several'} · ${formatWhen(session.createdAt)}`,
            end: (
              <span className="figure">
                <strong className="number">{session.votes}</strong>
                <span className="small quiet">{session.votes === 1 ? 'vote' : 'votes'}</span>
              </span>
            ),
            open: () => choose({ rankSessionId: session.id }),
          }))}
        />
      </section>
    </div>
  );
}
