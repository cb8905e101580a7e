import { useEffect, useState } from 'react';
import type { Sequence, SequenceTracks as Tracks } from '#pipelines/engine/contract.ts';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { SequenceTracks } from '#renderer/components/sequence-tracks.tsx';
import { rewardName } from '#renderer/logic/fields.ts';
import { formatNumber } from '#renderer/logic/format.ts';
import type { Molecule } from '#renderer/logic/letters.ts';
import { engine } from '#renderer/state/engine.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';
import { SteerView } from './steer-view.tsx';
import { useGuided } from './use-guided.ts';

/** One sequence: its letters with what lies along them, what made it, and how it came to be. */
export function SequenceDetail({ row, molecule }: { row: Sequence; molecule: Molecule }) {
  const [tracks, setTracks] = useState<Tracks | null>(null);
  const guided = useGuided(row.jobId, row.index);
  const [error, setError] = useState<EngineError | null>(null);
  useEffect(() => {
    let left = false;
    engine
      .call('sequences.tracks', { seq: row.seq })
      .then((found) => left || setTracks(found))
      .catch((why: unknown) => left || setError(toEngineError(why)));
    return () => {
      left = true;
    };
  }, [row.seq]);
  const facts = Object.entries({
    ...(row.className === null ? {} : { Class: row.className }),
    ...{ 'No.': String(row.index), Seed: String(row.seed), Sampler: `${row.scheduler}, ${row.steps} steps` },
    ...Object.fromEntries(Object.entries(row.scores).map(([name, value]) => [rewardName(name), formatNumber(value)])),
  });
  return (
    <section className="stack sequence-detail" aria-label={`Sequence ${row.index}`} data-testid="sequence-detail">
      <div className="row wrap small">
        {facts.map(([name, value]) => (
          <span key={name}>
            <span className="quiet">{`${name} `}</span>
            <span className="number">{value}</span>
          </span>
        ))}
      </div>
      {error && <ErrorNote error={error} />}
      <SequenceTracks letters={row.letters} molecule={molecule} tracks={tracks} />
      {guided.error && <ErrorNote error={guided.error} />}
      {guided.record && <SteerView record={guided.record} molecule={molecule} />}
    </section>
  );
}
