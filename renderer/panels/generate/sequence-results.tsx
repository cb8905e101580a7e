import { useEffect, useMemo, useState } from 'react';
import type { Model, Sequence } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { SequenceLogo } from '#renderer/components/sequence-logo.tsx';
import { fieldLabel } from '#renderer/logic/fields.ts';
import { plural } from '#renderer/logic/format.ts';
import { between, moveInGrid } from '#renderer/logic/grid.ts';
import { filteredRows, orderedRows, rewardColumns } from '#renderer/logic/sequence-rows.ts';
import { takeJob, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { say } from '#renderer/state/toasts.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { BatchSelect } from './batch-select.tsx';
import { BatchStatus } from './batch-status.tsx';
import { RewardCharts } from './reward-charts.tsx';
import { SequenceDetail } from './sequence-detail.tsx';
import { SequenceList } from './sequence-list.tsx';
import { orderBy, reload, show, toggle, useSequences } from './sequence-store.ts';
import { loadChoices, useSteer } from './steer-store.ts';
import { SteerView } from './steer-view.tsx';
import { useShownBatch } from './use-shown-batch.ts';

/** Rows of a page of the list, for the keys. */
const PAGE_ROWS = 10;

const ALL = 'all';

export function SequenceResults({ model }: { model: Model & { sequence: NonNullable<Model['sequence']> } }) {
  const { showing, rows, order, search, current, selected, error } = useSequences();
  const phase = useApp((s) => s.connection.phase);
  const steered = useSteer((s) => s.picture);
  const rewardChoices = useSteer((s) => s.choices.sequences?.rewards);
  const action = useAction();
  const [reward, setReward] = useState('');
  const { alphabet, molecule } = model.sequence;
  const { batches: made, jobId, job } = useShownBatch('sequences', { showing, read: rows ?? error, show, reload });
  const isDna = molecule === 'dna' || molecule === 'rna';

  useEffect(() => {
    if (phase === 'ready') void loadChoices('sequences');
  }, [phase]);

  const rewards = useMemo(() => rewardColumns(rows ?? []), [rows]);
  const shown = useMemo(
    () => orderedRows(filteredRows(rows ?? [], search, isDna), order),
    [rows, search, isDna, order],
  );
  const chosen = useMemo(() => shown.filter(({ seq }) => selected.has(seq)), [shown, selected]);
  const subject = chosen.length > 0 ? chosen : shown;
  const letters = useMemo(() => subject.map((row) => row.letters), [subject]);
  const cursor = shown.findIndex(({ seq }) => seq === current);
  const row: Sequence | undefined = shown[cursor];

  const move = (event: KeyboardEvent) => {
    if (shown.length === 0) return;
    const key = event.key;
    // With none in hand, an arrow takes the first.
    const to =
      cursor < 0 && key.startsWith('Arrow') ? 0 : moveInGrid(Math.max(0, cursor), key, 1, PAGE_ROWS, shown.length);
    const added = event.shiftKey ? between(shown, Math.max(0, cursor), to).map(({ seq }) => seq) : [];
    useSequences.setState(({ selected: before }) => ({
      current: shown[to]!.seq,
      ...(added.length > 0 ? { selected: new Set([...before, ...added]) } : {}),
    }));
  };
  const copy = () =>
    action.run(async () => {
      if (subject.length === 0) return;
      const { text } = await engine.call('sequences.text', { seqs: subject.map(({ seq }) => seq), format: 'fasta' });
      await navigator.clipboard.writeText(text);
      say(`Copied ${plural(subject.length, 'sequence')} as FASTA`);
    });
  const save = (format: 'fasta' | 'csv') =>
    action.run(async () => {
      if (subject.length === 0) return;
      const { path, count } = await engine.call('sequences.export', { seqs: subject.map(({ seq }) => seq), format });
      say(`Wrote ${plural(count, 'sequence')} to ${path}`);
    });
  const score = () =>
    action.run(async () => {
      if (reward === '' || subject.length === 0) return;
      takeJob(await engine.call('sequences.score', { seqs: subject.map(({ seq }) => seq), reward }));
    });
  const columns = ['index', 'length', ...rewards];
  const nextOrder = () => orderBy(columns[(columns.indexOf(order.by) + 1) % columns.length] ?? 'index');
  useShortcuts([
    {
      keys: ['ArrowUp', 'ArrowDown', 'PageUp', 'PageDown', 'Home', 'End'],
      does: 'Another sequence',
      group: 'Sequences',
      repeats: true,
      run: move,
    },
    {
      keys: ['Shift+ArrowUp', 'Shift+ArrowDown'],
      does: 'Select on the way',
      group: 'Sequences',
      repeats: true,
      run: move,
    },
    { keys: ['x'], does: 'Select or not', group: 'Sequences', run: () => current !== null && toggle(current) },
    {
      keys: ['Ctrl+a'],
      does: 'Select all that are found',
      group: 'Sequences',
      run: () => useSequences.setState({ selected: new Set(shown.map(({ seq }) => seq)) }),
    },
    {
      keys: ['Escape'],
      does: 'Select none',
      group: 'Sequences',
      run: () => useSequences.setState({ selected: new Set() }),
    },
    { keys: ['s'], does: 'Order by the next column', group: 'Sequences', run: nextOrder },
    { keys: ['c'], does: 'Copy as FASTA', group: 'Sequences', run: () => void copy() },
    { keys: ['e'], does: 'Export FASTA', group: 'Sequences', run: () => void save('fasta') },
    { keys: ['Shift+E'], does: 'Export CSV', group: 'Sequences', run: () => void save('csv') },
  ]);

  if (made.length === 0) {
    return (
      <div className="centre">
        <EmptyState
          icon={<Icon name="generate" size={44} />}
          title="Write some sequences to choose from"
          steps={[
            'Choose how many, and of what. Every sequence has its own seed and can be made again.',
            'Steer by a reward: several ways on are tried at each step, and the more promising ones go on.',
            'Order them by what rewards say, look at the logo and the motifs, and export what you keep.',
          ]}
        />
      </div>
    );
  }
  return (
    <section className="centre" aria-label="Results" data-testid="sequence-results">
      <div className="row apart wrap">
        <div className="row grow">
          <BatchSelect
            whole={{ value: ALL, label: 'All sequences of this project' }}
            jobs={made}
            value={showing === ALL ? ALL : (jobId ?? '')}
            onChange={(value) => void show(value === ALL ? ALL : { jobId: value })}
          />
          <input
            className="input grow"
            type="search"
            aria-label="Find"
            placeholder={isDna ? 'Find: TGASTCA gc>0.5' : 'Find: letters, or gc>0.5'}
            value={search}
            data-testid="sequence-search"
            onChange={(event) => useSequences.setState({ search: event.target.value })}
          />
          <span className="small quiet number" data-testid="sequence-count">
            {shown.length === rows?.length
              ? plural(shown.length, 'sequence')
              : `${shown.length} of ${plural(rows?.length ?? 0, 'sequence')}`}
          </span>
        </div>
      </div>
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
      {error && <ErrorNote error={error} retry={() => void reload()} />}
      {job && <BatchStatus key={job.id} job={job} />}
      {steered && steered.jobId === jobId && job?.state === 'running' && (
        <SteerView record={{ ...steered, tree: null, result: null }} molecule={molecule} live />
      )}
      {jobId && <RewardCharts jobId={jobId} rewards={rewards} scored={shown} />}
      {letters.length > 1 && (
        <SequenceLogo
          sequences={letters}
          alphabet={alphabet}
          molecule={molecule}
          of={chosen.length > 0 ? 'selected' : search ? 'found' : 'all'}
        />
      )}
      <SequenceList rows={shown} rewards={rewards} molecule={molecule} />
      <div className="row wrap">
        <span className="small quiet" data-testid="sequence-subject">
          {chosen.length > 0 ? `${chosen.length} selected:` : `All ${shown.length}:`}
        </span>
        <Button
          size="small"
          shortcut="c"
          disabled={subject.length === 0}
          onClick={() => void copy()}
          data-testid="copy-fasta"
        >
          Copy FASTA
        </Button>
        <Button
          size="small"
          shortcut="e"
          disabled={subject.length === 0}
          onClick={() => void save('fasta')}
          data-testid="export-fasta"
        >
          Export FASTA
        </Button>
        <Button
          size="small"
          shortcut="Shift+E"
          disabled={subject.length === 0}
          onClick={() => void save('csv')}
          data-testid="export-csv"
        >
          Export CSV
        </Button>
        <input
          className="input score-by"
          list="sequence-rewards"
          aria-label="Score by"
          placeholder="Score by: gc, motif:TGASTCA…"
          value={reward}
          data-testid="score-reward"
          onChange={(event) => setReward(event.target.value)}
        />
        <datalist id="sequence-rewards">
          {rewardChoices?.map((r) => (
            <option key={r.reward} value={r.reward} label={fieldLabel(r.label)} />
          ))}
        </datalist>
        <Button
          size="small"
          disabled={reward === '' || subject.length === 0}
          busy={action.busy}
          onClick={() => void score()}
          data-testid="score-start"
        >
          Score
        </Button>
      </div>
      {row && <SequenceDetail key={row.seq} row={row} molecule={molecule} />}
    </section>
  );
}
