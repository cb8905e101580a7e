import type { Sample } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { Picture } from '#renderer/components/picture.tsx';
import { Progress } from '#renderer/components/progress.tsx';
import { formatNumber, formatWhen, plural } from '#renderer/logic/format.ts';
import { groupByPrompt } from '#renderer/logic/prompts.ts';
import { takeJob, takeSession, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { go, useNavigation } from '#renderer/state/navigation.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { insertPrompt, reload, show, useGenerate } from './generate-store.ts';
import { useSteer } from './steer-store.ts';
import { SteerView } from './steer-view.tsx';

type Tile =
  | {
      prompt: string;
      index: number;
      kind: 'done';
      id: string;
      hash: string;
      starred: boolean;
      seed: number;
      scores: Sample['scores'];
    }
  | { prompt: string; index: number; kind: 'preview'; id: string; hash: string; step: number; total: number };

export function Results({ open }: { open(id: string): void }) {
  const { showing, samples, total, previews, error } = useGenerate();
  const jobs = useApp((s) => s.jobs);
  const modelId = useNavigation((s) => s.modelId);
  const models = useApp((s) => s.models);
  const steered = useSteer((s) => s.picture);
  const action = useAction();
  const generated = (jobs ?? []).filter((job) => job.kind === 'generate' && job.makes === 'pictures');
  const jobId = showing !== null && showing !== 'starred' ? showing.jobId : null;
  const job = generated.find((candidate) => candidate.id === jobId);

  const tiles: Tile[] = [
    ...(samples ?? []).map((s) => ({ ...s, kind: 'done' as const })),
    ...Object.values(previews)
      .filter((p) => p.jobId === jobId)
      .map((p) => ({ ...p, kind: 'preview' as const, id: `${p.prompt}/${p.index}` })),
  ].sort((a, b) => (showing === 'starred' ? 0 : a.index - b.index));
  const groups = groupByPrompt(tiles);
  const rankable = showing !== 'starred' && groupByPrompt(samples ?? []).some((group) => group.items.length > 1);

  const rank = () =>
    action.run(async () => {
      if (!job) return;
      const session = await engine.call('sessions.create', { name: job.title, mode: 'pair', jobIds: [job.id] });
      takeSession(session);
      go('rank', { rankSessionId: session.id });
    });

  const resume = () =>
    action.run(async () => {
      if (job) takeJob(await engine.call('jobs.resume', { id: job.id }));
    });

  if (generated.length === 0 && showing !== 'starred') {
    const example = models?.find((m) => m.id === modelId)?.examplePrompts[0];
    return (
      <div className="centre">
        <EmptyState
          icon={<Icon name="generate" size={44} />}
          title="Make some pictures to choose from"
          steps={[
            'Write a prompt, or take an example. Two or more pictures per prompt make a choice possible.',
            'Rank them: which do you like better? A few dozen answers are a start.',
            'Tune the model with your answers, then compare blind whether it got better.',
          ]}
          action={example ? <Button onClick={() => insertPrompt(example)}>Take an example prompt</Button> : undefined}
        />
      </div>
    );
  }
  return (
    <section className="centre" aria-label="Results" data-testid="results">
      <div className="row apart">
        <div className="row grow">
          <select
            className="input batch"
            aria-label="Batch shown"
            value={showing === 'starred' ? 'starred' : (jobId ?? '')}
            data-testid="batch-select"
            onChange={(event) =>
              void show(event.target.value === 'starred' ? 'starred' : { jobId: event.target.value })
            }
          >
            <option value="starred">Starred pictures</option>
            {generated.map((candidate) => (
              <option key={candidate.id} value={candidate.id}>
                {`${candidate.title} · ${formatWhen(candidate.createdAt)}`}
              </option>
            ))}
          </select>
          <span className="small quiet number">{plural(total, 'picture')}</span>
        </div>
        <Button
          look="primary"
          busy={action.busy}
          disabled={!rankable}
          title={rankable ? undefined : 'Ranking needs a prompt with at least two pictures'}
          onClick={rank}
          data-testid="rank-these"
        >
          Rank these
        </Button>
      </div>
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
      {error && <ErrorNote error={error} retry={() => void reload()} />}
      {job && (job.state === 'running' || job.state === 'queued' || job.state === 'paused') && (
        <Progress
          label={job.title}
          done={job.done}
          total={job.total}
          stage={job.state === 'queued' ? 'waits for its turn' : job.stage}
          etaSeconds={job.state === 'running' ? job.etaSeconds : null}
          moving={job.state === 'running'}
          testId="generate-progress"
        />
      )}
      {steered && steered.jobId === jobId && <SteerView record={{ ...steered, tree: null, result: null }} live />}
      {job?.error && <ErrorNote error={job.error} />}
      {job && (job.state === 'paused' || job.state === 'failed' || job.state === 'set-aside') && (
        <div className="row">
          <Button busy={action.busy} onClick={resume} data-testid="generate-resume">
            Resume
          </Button>
        </div>
      )}
      {showing === 'starred' && samples?.length === 0 && (
        <EmptyState icon={<Icon name="star" size={44} />} title="No stars yet">
          Open a picture and press the full stop key to keep it here.
        </EmptyState>
      )}
      {groups.map((group) => (
        <section key={group.prompt} className="stack tight">
          <div className="row">
            <h3>{group.prompt}</h3>
            <span className="small quiet number">{group.items.length}</span>
          </div>
          <ul className="grid">
            {group.items.map((tile) => (
              <li key={tile.kind + tile.id}>
                {tile.kind === 'done' ? (
                  <button
                    type="button"
                    className="tile"
                    data-testid="result"
                    aria-label={`Picture of ${tile.prompt}, seed ${tile.seed}, number ${tile.index}${tile.starred ? ', starred' : ''}`}
                    onClick={() => open(tile.id)}
                  >
                    <Picture hash={tile.hash} alt="" lazy />
                    {Object.entries(tile.scores).map(([name, value]) => (
                      <span key={name} className="tile-score number" data-testid="tile-score">
                        {`${name} ${formatNumber(value)}`}
                      </span>
                    ))}
                    {tile.starred && (
                      <span className="tile-star">
                        <Icon name="star" size={14} filled />
                      </span>
                    )}
                  </button>
                ) : (
                  <span className="tile making" data-testid="preview">
                    <Picture hash={tile.hash} alt={`In the making: ${tile.prompt}`} />
                    <span className="tile-step number">{`${tile.step} / ${tile.total}`}</span>
                  </span>
                )}
              </li>
            ))}
          </ul>
        </section>
      ))}
      {samples && samples.length < total && (
        <p className="small quiet">{`The first ${samples.length} of ${total} pictures are shown; all of them can be ranked.`}</p>
      )}
    </section>
  );
}
