import { useEffect, useState } from 'react';
import type { Reproduction, Sample } from '#pipelines/engine/contract.ts';
import { formatNumber } from '#renderer/logic/format.ts';
import { takeJob, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { Button } from './button.tsx';
import { ErrorNote } from './error-note.tsx';
import { Picture } from './picture.tsx';
import { Progress } from './progress.tsx';

/** Makes a picture again from the settings in its file, and shows both with their difference. */
export function ReproducePicture({ sample }: { sample: Sample }) {
  const [jobId, setJobId] = useState<string | null>(null);
  const [found, setFound] = useState<Reproduction | null>(null);
  const job = useApp((s) => s.jobs?.find((candidate) => candidate.id === jobId));
  const action = useAction();
  const done = job?.state === 'done';

  useEffect(() => {
    if (!jobId || !done) return;
    void action.run(async () => setFound(await engine.call('pictures.reproduction', { id: jobId })));
  }, [jobId, done, action.run]);

  const start = () =>
    action.run(async () => {
      setFound(null);
      const started = await engine.call('pictures.reproduce', { sampleId: sample.id });
      takeJob(started);
      setJobId(started.id);
    });
  const running = job !== undefined && ['queued', 'running', 'paused'].includes(job.state);
  return (
    <div className="stack tight">
      <div className="row">
        <Button busy={action.busy || running} onClick={() => void start()} data-testid="reproduce">
          Reproduce
        </Button>
      </div>
      {job && running && (
        <Progress
          label={job.title}
          done={job.done}
          total={job.total}
          stage={job.state === 'queued' ? 'waits for its turn' : job.stage}
          etaSeconds={job.etaSeconds}
          moving={job.state === 'running'}
        />
      )}
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
      {job?.error && <ErrorNote error={job.error} />}
      {found && <Outcome found={found} />}
    </div>
  );
}

const VERDICTS = {
  file: 'Identical, to the last byte.',
  pixels: 'Every pixel is the same; the files differ in what they say of themselves.',
  no: 'It came out different.',
} as const;

function Outcome({ found }: { found: Reproduction }) {
  const { identical, amplified, notes } = found;
  return (
    <section className="stack tight" aria-label="Reproduction" data-testid="reproduction">
      <p>{VERDICTS[identical]}</p>
      {identical === 'no' && (
        <p className="small quiet number">
          {`${found.differing} of ${found.pixels} pixels differ, by ${formatNumber(found.mean)} on average and ${found.max} at most (of 255).`}
        </p>
      )}
      {notes.map((note) => (
        <p key={note} className="small quiet">
          {note}
        </p>
      ))}
      <div className="reproduction">
        <Figure hash={found.originalHash} caption="Original" />
        <Figure hash={found.hash} caption="Made again" />
        {amplified && <Figure hash={amplified.hash} caption={`Difference × ${amplified.factor}`} />}
      </div>
    </section>
  );
}

function Figure({ hash, caption }: { hash: string; caption: string }) {
  return (
    <figure>
      <Picture hash={hash} alt={caption} />
      <figcaption className="small quiet">{caption}</figcaption>
    </figure>
  );
}
