import type { Model } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { formatBytes, formatCount } from '#renderer/logic/format.ts';
import { refreshModels } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { go } from '#renderer/state/navigation.ts';
import { useAction } from '#renderer/state/use-action.ts';

/** What a model is and whether it can be used; when not, what to do about each reason. */
export function ModelCard({ model }: { model: Model }) {
  const action = useAction();
  const remove = () =>
    action.run(async () => {
      await engine.call('models.remove', { id: model.id });
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
              onClick={remove}
              title="Takes it off this list. Its files stay."
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
      <p className="quiet">{model.description}</p>
      {model.problems.length > 0 && (
        <ul className="problems">
          {model.problems.map((problem) => (
            <li key={problem.message}>
              <strong>{problem.message}</strong>
              <span>{problem.hint}</span>
            </li>
          ))}
        </ul>
      )}
      <p className="small quiet number">
        {[
          model.family,
          `${formatCount(model.parameters)} parameters`,
          formatBytes(model.sizeBytes),
          `${model.width} × ${model.height}`,
          `predicts ${model.predictionType}`,
        ].join(' · ')}
      </p>
      <Fold title="Where it is">
        <dl className="facts">
          <div className="fact">
            <dt>Folder</dt>
            <dd className="mono">{model.path}</dd>
          </div>
          <div className="fact">
            <dt>SHA-256</dt>
            <dd className="mono">{model.hash}</dd>
          </div>
        </dl>
      </Fold>
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
    </article>
  );
}
