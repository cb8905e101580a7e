import { useState } from 'react';
import type { ModelDoctorReport, StepReport } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { formatBytes } from '#renderer/logic/format.ts';
import { engine } from '#renderer/state/engine.ts';
import { useAction } from '#renderer/state/use-action.ts';

type Outlook = ModelDoctorReport['providers'][number];

/** What is known of each provider and this model's operators, and what it does on this machine once it is measured. */
export function ProviderOutlook({ modelId, providers }: { modelId: string; providers: readonly Outlook[] }) {
  const [measured, setMeasured] = useState<readonly StepReport[] | null>(null);
  const action = useAction();
  const measure = () => action.run(async () => setMeasured(await engine.call('models.measure', { id: modelId })));
  return (
    <>
      {measured ? <Measured steps={measured} /> : <Recorded providers={providers} />}
      <div className="row">
        <Button
          size="small"
          busy={action.busy}
          onClick={measure}
          title="One step of this model on each provider of this machine, compared with the CPU. A large model takes minutes."
          data-testid="measure-model"
        >
          Measure on this machine
        </Button>
        {action.busy && (
          <span className="small quiet" role="status">
            One step on each provider, in a process of its own…
          </span>
        )}
      </div>
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
    </>
  );
}

function Measured({ steps }: { steps: readonly StepReport[] }) {
  return (
    <dl className="facts" data-testid="measured">
      {steps.map((s) => (
        <div className="fact" key={s.provider}>
          <dt>{s.provider}</dt>
          <dd>{measuredOf(s)}</dd>
        </div>
      ))}
    </dl>
  );
}

function measuredOf({ provider, usable, reason, seconds, startSeconds, peakBytes, agreement }: StepReport): string {
  if (!usable) return `Not used: ${reason.split('\n')[0]}`;
  return [
    `${seconds?.toPrecision(3)} s a step`,
    `starts in ${startSeconds?.toPrecision(2)} s`,
    ...(peakBytes === null ? [] : [formatBytes(peakBytes)]),
    ...(provider === 'cpu' ? [] : [`within ${agreement?.toExponential(0)} of the CPU`]),
  ].join(', ');
}

function Recorded({ providers }: { providers: readonly Outlook[] }) {
  return (
    <dl className="facts" data-testid="providers">
      <div className="fact">
        <dt>cpu</dt>
        <dd>Runs every operator of the standard. Everything else is compared with it.</dd>
      </div>
      {providers.map((p) => (
        <div className="fact" key={p.provider}>
          <dt>{p.provider}</dt>
          <dd>{outlookOf(p)}</dd>
        </div>
      ))}
    </dl>
  );
}

function outlookOf({ device, faulty, leftToCpu, untried }: Outlook): string {
  if (device === '') return 'Not tried.';
  const parts = [
    ...(faulty.length > 0 ? [`some nodes of ${faulty.join(', ')} gave wrong values or failed`] : []),
    ...(leftToCpu.length > 0 ? [`${leftToCpu.join(', ')} left to the CPU`] : []),
    ...(untried.length > 0 ? [`${untried.length} operators not tried`] : []),
  ];
  return `Tried on ${device}: ${parts.length > 0 ? parts.join('; ') : 'every operator gave the CPU’s values'}.`;
}
