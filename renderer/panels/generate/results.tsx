import { useState } from 'react';
import type { EventPayload, Sample } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { rewardTitle } from '#renderer/logic/fields.ts';
import { plural } from '#renderer/logic/format.ts';
import { groupByPrompt } from '#renderer/logic/prompts.ts';
import { bestFirst, rewardColumns } from '#renderer/logic/sequence-rows.ts';
import { takeSession, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { go, useNavigation } from '#renderer/state/navigation.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { BatchSelect } from './batch-select.tsx';
import { BatchStatus } from './batch-status.tsx';
import { insertPrompt, previewKey, reload, show, useGenerate } from './generate-store.ts';
import { PreviewTile, ResultTile } from './result-tile.tsx';
import { RewardCharts } from './reward-charts.tsx';
import { useSteer } from './steer-store.ts';
import { SteerView } from './steer-view.tsx';
import { useShownBatch } from './use-shown-batch.ts';

type Tile =
  | { readonly prompt: string; readonly index: number; readonly sample: Sample }
  | { readonly prompt: string; readonly index: number; readonly preview: EventPayload<'preview'> };

const STARRED = 'starred';

export function Results({ open }: { open(id: string): void }) {
  const { showing, samples, total, previews, error } = useGenerate();
  const { batches, jobId, job } = useShownBatch('pictures', { showing, read: samples ?? error, show, reload });
  const modelId = useNavigation((s) => s.modelId);
  const models = useApp((s) => s.models);
  const steered = useSteer((s) => s.picture);
  const action = useAction();
  /** The reward that pictures are ordered by; empty: as they were made. */
  const [by, setBy] = useState('');
  const rewards = rewardColumns(samples ?? []);
  const order = rewards.includes(by) ? by : '';

  const tiles: Tile[] = [
    ...(samples ?? []).map((sample) => ({ prompt: sample.prompt, index: sample.index, sample })),
    ...Object.values(previews)
      .filter((p) => p.jobId === jobId)
      .map((preview) => ({ prompt: preview.prompt, index: preview.index, preview })),
  ].sort((a, b) => (showing === STARRED ? 0 : a.index - b.index));
  const scoreOf = (tile: Tile) => ('sample' in tile ? tile.sample.scores[order] : undefined);
  const groups = groupByPrompt(order === '' ? tiles : bestFirst(tiles, scoreOf));
  const rankable = showing !== STARRED && groupByPrompt(samples ?? []).some((group) => group.items.length > 1);

  const rank = () =>
    action.run(async () => {
      if (!job) return;
      const session = await engine.call('sessions.create', { name: job.title, mode: 'pair', jobIds: [job.id] });
      takeSession(session);
      go('rank', { rankSessionId: session.id });
    });

  if (batches.length === 0 && showing !== STARRED) {
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
      <div className="row apart wrap">
        <div className="row grow">
          <BatchSelect
            whole={{ value: STARRED, label: 'Starred pictures' }}
            jobs={batches}
            value={showing === STARRED ? STARRED : (jobId ?? '')}
            onChange={(value) => void show(value === STARRED ? STARRED : { jobId: value })}
          />
          <span className="small quiet number">{plural(total, 'picture')}</span>
          {rewards.length > 0 && (
            <select
              className="input"
              aria-label="Order"
              value={order}
              data-testid="result-order"
              onChange={(event) => setBy(event.target.value)}
            >
              <option value="">As they were made</option>
              {rewards.map((reward) => (
                <option key={reward} value={reward}>{`Best by ${rewardTitle(reward)}`}</option>
              ))}
            </select>
          )}
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
      {job && <BatchStatus key={job.id} job={job} />}
      {steered && steered.jobId === jobId && job?.state === 'running' && (
        <SteerView record={{ ...steered, tree: null, result: null }} live />
      )}
      {jobId && <RewardCharts jobId={jobId} rewards={rewards} scored={samples ?? []} />}
      {showing === STARRED && samples?.length === 0 && (
        <EmptyState icon={<Icon name="star" size={44} />} title="No stars yet">
          Open a picture and press the full stop key to keep it here.
        </EmptyState>
      )}
      {groups.map((group) => (
        <section key={group.prompt} className="stack tight">
          <div className="row">
            <h3 className="prompt-heading" title={group.prompt}>
              {group.prompt}
            </h3>
            <span className="small quiet number">{group.items.length}</span>
          </div>
          <ul className="grid">
            {group.items.map((tile) =>
              'sample' in tile ? (
                <li key={tile.sample.id}>
                  <ResultTile sample={tile.sample} open={open} />
                </li>
              ) : (
                <li key={previewKey(tile.preview)}>
                  <PreviewTile preview={tile.preview} />
                </li>
              ),
            )}
          </ul>
        </section>
      ))}
      {samples && samples.length < total && (
        <p className="small quiet">{`The first ${samples.length} of ${total} pictures are shown; all of them can be ranked.`}</p>
      )}
    </section>
  );
}
