import { useEffect, useState } from 'react';
import type { GuidedRecord, Sequence, SequenceTracks as Tracks } from '#pipelines/engine/contract.ts';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { SequenceTracks } from '#renderer/components/sequence-tracks.tsx';
import { formatNumber } from '#renderer/logic/format.ts';
import type { Molecule } from '#renderer/logic/letters.ts';
import { engine } from '#renderer/state/engine.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';
import { SteerView } from './steer-view.tsx';

/** One sequence: its letters with what lies along them, what made it, and how it came to be. */
export function SequenceDetail({ row, molecule }: { row: Sequence; molecule: Molecule }) {
  const [tracks, setTracks] = useState<Tracks | null>(null);
  const [record, setRecord] = useState<GuidedRecord | null>(null);
  const [error, setError] = useState<EngineError | null>(null);
  useEffect(() => {
    let left = false;
    const failed = (why: unknown) => left || setError(toEngineError(why));
    engine
      .call('sequences.tracks', { seq: row.seq })
      .then((found) => left || setTracks(found))
      .catch(failed);
    engine
      .call('generate.guided', { jobId: row.jobId, index: row.index })
      .then((found) => left || setRecord(found))
      .catch(failed);
    return () => {
      left = true;
    };
  }, [row.seq, row.jobId, row.index]);
  const facts = Object.entries({
    ...(row.className === null ? {} : { Class: row.className }),
    ...{ 'No.': String(row.index), Seed: String(row.seed), Sampler: `${row.scheduler}, ${row.steps} steps` },
    ...Object.fromEntries(Object.entries(row.scores).map(([name, value]) => [name, formatNumber(value)])),
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
      {record && <SteerView record={record} molecule={molecule} />}
    </section>
  );
}
