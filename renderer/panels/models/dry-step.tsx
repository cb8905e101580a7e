import type { Model } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Progress } from '#renderer/components/progress.tsx';
import { formatNumber } from '#renderer/logic/format.ts';
import { takeJob, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { useAction } from '#renderer/state/use-action.ts';

/** What one small step through the model showed on this machine, or how far it is. */
export function DryStep({ model: { id, dryStep } }: { model: Model }) {
  const job = useApp((s) => s.jobs?.find((j) => j.kind === 'dry-step' && j.modelId === id));
  const action = useAction();
  const start = () => action.run(async () => takeJob(await engine.call('models.dryStep', { id })));
  const cancel = () => action.run(async () => takeJob(await engine.call('jobs.cancel', { id: job?.id ?? '' })));
  const underWay = job?.state === 'queued' || job?.state === 'running' || job?.state === 'paused';
  return (
    <div className="stack tight" data-testid="dry-step">
      {underWay ? (
        <Progress
          label={job.title}
          done={job.done}
          total={job.total}
          stage={job.state === 'queued' ? 'waits for its turn' : job.state === 'paused' ? 'paused' : job.stage}
          etaSeconds={null}
          moving={job.state === 'running'}
        />
      ) : (
        dryStep && <Shown dryStep={dryStep} />
      )}
      {!underWay && (job?.state === 'failed' || job?.state === 'set-aside') && job.error && (
        <ErrorNote error={job.error} />
      )}
      <div className="row">
        {underWay ? (
          <Button size="small" look="danger" busy={action.busy} onClick={cancel} data-testid="dry-step-cancel">
            Cancel
          </Button>
        ) : (
          <Button
            size="small"
            busy={action.busy}
            onClick={start}
            title="Sends one small sample through all networks of this model. A large one takes minutes to open."
            data-testid="dry-step-start"
          >
            {dryStep ? 'Try one step again' : 'Try one step'}
          </Button>
        )}
      </div>
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
    </div>
  );
}

function Shown({ dryStep }: { dryStep: NonNullable<Model['dryStep']> }) {
  if (!dryStep.ran) return <ErrorNote error={dryStep.error} />;
  const { loadSeconds, seconds, finite, width, height } = dryStep;
  return finite ? (
    <p className="small quiet" data-testid="dry-step-shown">
      {`Tried on this machine: opened in ${formatNumber(loadSeconds)} s, a step of ${width} × ${height} pixels with its prompt and picture in ${formatNumber(seconds)} s.`}
    </p>
  ) : (
    <p className="problem small" data-testid="dry-step-shown">
      One step on this machine gave values that are no numbers: pictures would be black. Export the model in float32, or
      its decoder at least.
    </p>
  );
}
