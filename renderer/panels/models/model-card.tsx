import { useState } from 'react';
import type { Model } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { formatBytes, formatCount } from '#renderer/logic/format.ts';
import { refreshModels } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { go } from '#renderer/state/navigation.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { ComponentTable } from './component-table.tsx';
import { DryStep } from './dry-step.tsx';
import { ProviderOutlook } from './provider-outlook.tsx';
import { RemoveDialog } from './remove-dialog.tsx';
import { useReport } from './use-report.ts';

/** What a model is and whether it can be used; when not, what to do about each reason. */
export function ModelCard({ model }: { model: Model }) {
  const action = useAction();
  const report = useReport(model);
  const [asking, setAsking] = useState(false);
  const remove = (deleteCopy: boolean) =>
    action.run(async () => {
      setAsking(false);
      await engine.call('models.remove', { id: model.id, deleteCopy });
      await refreshModels(engine);
    });
  return (
    <article className="card stack tight" data-testid="model" aria-label={model.name}>
      <div className="row apart">
        <div className="row">
          <h3>{model.name}</h3>
          {model.bundled && <span className="badge">comes with Northlight</span>}
          {model.usable ? <span className="badge accent">ready</span> : <span className="badge bad">needs a fix</span>}
        </div>
        <div className="row">
          {!model.bundled && (
            <Button
              size="small"
              look="plain"
              busy={action.busy}
              onClick={() => (model.copied ? setAsking(true) : void remove(false))}
              title={
                model.copied
                  ? 'Takes it off this list, with or without its files.'
                  : 'Takes it off this list. Its files stay.'
              }
            >
              Take off the list
            </Button>
          )}
          <Button
            size="small"
            disabled={!model.usable}
            onClick={() => go('generate', { modelId: model.id, adapterId: null })}
            data-testid="use-model"
          >
            Generate with it
          </Button>
        </div>
      </div>
      {report && <p data-testid="model-status">{report.status}</p>}
      {model.description && <p className="quiet">{model.description}</p>}
      <Findings findings={report?.findings ?? model.problems.map((p) => ({ weight: 'stops', ...p }))} />
      {model.usable && (
        <p className="small quiet number">
          {[
            report?.title || model.family,
            `${formatCount(model.parameters)} parameters`,
            formatBytes(model.sizeBytes),
            ...(model.width > 0 ? [`${model.width} × ${model.height}`] : []),
            `predicts ${model.predictionType}`,
            ...(report?.precision ? [report.precision] : []),
          ].join(' · ')}
        </p>
      )}
      {model.usable && model.sampling && <DryStep model={model} />}
      {report && report.components.length > 0 && (
        <>
          <Fold title="Parts" testId="model-parts">
            <p className="small quiet">{`Exported by ${report.exporter}. ${report.exporterBecause}`}</p>
            <ComponentTable components={report.components} />
          </Fold>
          <Fold title="What can run it">
            <ProviderOutlook modelId={model.id} providers={report.providers} />
          </Fold>
        </>
      )}
      <Fold title="Where it is">
        <dl className="facts">
          <div className="fact">
            <dt>Folder</dt>
            <dd className="mono">{model.path}</dd>
          </div>
          <div className="fact">
            <dt>SHA-256</dt>
            <dd className="mono">{model.hash || (model.usable ? 'being worked out…' : 'not known')}</dd>
          </div>
        </dl>
      </Fold>
      {asking && <RemoveDialog model={model} close={() => setAsking(false)} remove={(files) => void remove(files)} />}
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
    </article>
  );
}

/** What stops a model, then what is only worth knowing; each with what to do. */
function Findings({
  findings,
}: {
  findings: readonly { readonly weight: string; readonly message: string; readonly hint: string }[];
}) {
  if (findings.length === 0) return null;
  return (
    <ul className="findings">
      {findings.map(({ weight, message, hint }) => (
        <li key={message} className={weight}>
          <strong>{message}</strong>
          <span>{hint}</span>
        </li>
      ))}
    </ul>
  );
}
