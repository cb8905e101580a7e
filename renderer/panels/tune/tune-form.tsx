import type { Field as FieldDefinition, Session } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { GeneratedField } from '#renderer/components/generated-field.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import { TextField } from '#renderer/components/text-field.tsx';
import { changedConfig, type FieldValue, fieldProblem, splitFields } from '#renderer/logic/fields.ts';
import { plural } from '#renderer/logic/format.ts';
import { takeRun, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { choose, useNavigation } from '#renderer/state/navigation.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { TuneEstimate } from './tune-estimate.tsx';
import { loadAlgorithms, resetValues, setValue, useTune } from './tune-store.ts';

/** What to tune from, how, and the settings that the algorithm itself declares. */
export function TuneForm({ sessions }: { sessions: readonly Session[] }) {
  const { algorithms, algorithm: name, values, name: runName, error } = useTune();
  const models = useApp((s) => s.models);
  const picked = useNavigation((s) => s.tuneSessionIds);
  const action = useAction();
  const algorithm = algorithms?.find((candidate) => candidate.name === name) ?? null;
  const chosen = sessions.filter((session) => picked.includes(session.id));
  const modelId = chosen[0]?.modelId ?? null;
  const mixed = chosen.some((session) => session.modelId !== modelId);
  const votes = chosen.reduce((sum, session) => sum + session.votes, 0);

  const fields = algorithm?.fields ?? [];
  const { basic, advanced } = splitFields(fields);
  const own = (algorithm && values[algorithm.name]) ?? {};
  const value = (field: FieldDefinition): FieldValue => own[field.key] ?? (field.key in own ? null : field.default);
  const wrong = fields.some((field) => fieldProblem(field, value(field)) !== null);
  const ready = algorithm !== null && modelId !== null && !mixed && !wrong;

  const settings = ready
    ? {
        algorithm: algorithm.name,
        modelId,
        sessionIds: chosen.map((session) => session.id),
        config: changedConfig(fields, own),
      }
    : null;

  const start = () => {
    if (!settings || action.busy) return;
    void action.run(async () => {
      const run = await engine.call('tune.start', { ...settings, name: runName.trim() });
      takeRun(run);
      choose({ runId: run.id });
    });
  };
  useShortcuts([{ keys: ['Ctrl+Enter'], does: 'Start tuning', group: 'Tune', inFields: true, run: start }]);

  const draw = (field: FieldDefinition) => (
    <GeneratedField
      key={field.key}
      field={field}
      value={value(field)}
      onChange={(next) => algorithm && setValue(algorithm.name, field.key, next)}
    />
  );
  return (
    <form className="side" aria-label="Tune" onSubmit={(event) => event.preventDefault()}>
      <div className="scroll">
        <fieldset className="group stack tight">
          <legend className="label">Learn from</legend>
          {sessions.length === 0 && <p className="small quiet">No ranking has votes yet.</p>}
          {sessions.map((session) => (
            <label key={session.id} className="check">
              <input
                type="checkbox"
                checked={picked.includes(session.id)}
                data-testid="tune-session"
                onChange={(event) =>
                  choose({
                    tuneSessionIds: event.target.checked
                      ? [...picked, session.id]
                      : picked.filter((id) => id !== session.id),
                  })
                }
              />
              <span className="grow">{session.name}</span>
              <span className="small quiet number">{plural(session.votes, 'vote')}</span>
            </label>
          ))}
          {mixed && (
            <p className="problem small" role="alert">
              These rankings are of different models. Choose rankings of one model.
            </p>
          )}
          {modelId && !mixed && (
            <p className="small quiet">{`Tunes ${models?.find((m) => m.id === modelId)?.name ?? 'the model'} with ${plural(votes, 'vote')}.`}</p>
          )}
        </fieldset>
        {error && <ErrorNote error={error} retry={() => void loadAlgorithms()} />}
        {!algorithms && !error && <p className="small quiet">Reading the algorithms…</p>}
        {algorithms && (
          <SelectField
            label="Algorithm"
            value={name ?? ''}
            testId="algorithm-select"
            options={algorithms.map((a) => ({ value: a.name, label: a.title }))}
            onChange={(next) => useTune.setState({ algorithm: next })}
            help={
              algorithm && (
                <>
                  {algorithm.description} <span className="source">{algorithm.source}</span>
                </>
              )
            }
          />
        )}
        {basic.map(draw)}
        <TextField
          label="Name"
          value={runName}
          onChange={(next) => useTune.setState({ name: next })}
          placeholder="Left empty: algorithm and pairs"
          testId="run-name"
        />
        {algorithm && advanced.length > 0 && (
          <Fold title={`Advanced (${advanced.length})`} testId="advanced">
            {advanced.map(draw)}
            <Button size="small" onClick={() => resetValues(algorithm.name)}>
              Back to the defaults
            </Button>
          </Fold>
        )}
      </div>
      <div className="foot">
        {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
        {chosen.length === 0 && sessions.length > 0 && (
          <p className="small quiet">Choose at least one ranking to learn from.</p>
        )}
        <TuneEstimate settings={settings} />
        <Button
          look="primary"
          wide
          shortcut="Ctrl+Enter"
          disabled={!ready}
          busy={action.busy}
          onClick={start}
          data-testid="tune-start"
        >
          Start tuning
        </Button>
      </div>
    </form>
  );
}
