import { useEffect } from 'react';
import type { Model } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { NumberField } from '#renderer/components/number-field.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import { plural } from '#renderer/logic/format.ts';
import { randomSeed } from '#renderer/logic/prompts.ts';
import { costWords } from '#renderer/logic/steer-words.ts';
import { takeJob, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { choose, useNavigation } from '#renderer/state/navigation.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { SeedField } from './seed-field.tsx';
import { edit, followModel, formProblems, sequencesInput, show, useSequences } from './sequence-store.ts';
import { SteerFields } from './steer-fields.tsx';
import { sequencesOf } from './use-bank.ts';
import { useEstimate } from './use-estimate.ts';

const ANY = 'Any';

/** What to write with a model of sequences. */
export function SequenceForm({ model }: { model: Model & { sequence: NonNullable<Model['sequence']> } }) {
  const form = useSequences((s) => s.form);
  const { models, adapters } = useApp();
  const adapterId = useNavigation((s) => s.adapterId);
  const action = useAction();
  const { sequence } = model;
  useEffect(() => followModel(model), [model]);
  const problems = formProblems(form, sequence);
  const input = sequencesInput(form, model, adapterId);
  const sampler = form.scheduler ?? sequence.defaults.scheduler;
  const oneByOne = sampler === 'masked-one-at-a-time';
  const steps = oneByOne ? (form.length ?? sequence.longest) : (form.steps ?? sequence.defaults.steps);
  const { estimate, error: refused } = useEstimate(
    input && { prompts: [''], count: input.count ?? 1, steps: Math.min(steps, 1000), steering: input.steering ?? null },
  );

  const start = () => {
    if (!input || action.busy || !model.usable) return;
    void action.run(async () => {
      const job = await engine.call('sequences.start', input);
      takeJob(job);
      await show({ jobId: job.id });
    });
  };
  useShortcuts([
    { keys: ['Ctrl+Enter'], does: 'Generate', group: 'Generate', inFields: true, run: start },
    { keys: ['d'], does: 'New seed', group: 'Generate', run: () => edit({ seed: randomSeed() }) },
  ]);

  return (
    <form className="side" aria-label="Generate" onSubmit={(event) => event.preventDefault()}>
      <div className="scroll">
        <SelectField
          label="Model"
          value={model.id}
          testId="model-select"
          options={(models ?? []).map((m) => ({
            value: m.id,
            label: m.usable ? m.name : `${m.name} (needs a fix)`,
            disabled: !m.usable,
          }))}
          onChange={(id) => choose({ modelId: id, adapterId: null })}
        />
        {(adapters ?? []).some((a) => a.modelId === model.id) && (
          <SelectField
            label="Adapter"
            value={adapterId ?? ''}
            testId="adapter-select"
            options={[
              { value: '', label: 'None: the base model' },
              ...(adapters ?? []).filter((a) => a.modelId === model.id).map((a) => ({ value: a.id, label: a.name })),
            ]}
            onChange={(id) => choose({ adapterId: id || null })}
          />
        )}
        {sequence.classes.length > 0 && (
          <SelectField
            label="Class"
            value={form.className ?? ''}
            testId="class-select"
            help="What the sequences are to be of, as the model learnt it."
            options={[
              ...(sequence.needsClass ? [] : [{ value: '', label: ANY }]),
              ...sequence.classes.map((name) => ({ value: name, label: name })),
            ]}
            onChange={(name) => edit({ className: name || null })}
          />
        )}
        <NumberField
          label="Sequences"
          value={form.count}
          onChange={(count) => edit({ count })}
          min={1}
          max={20_000}
          slider={[1, 512]}
          problem={problems.count ?? null}
          testId="count"
        />
        {sequence.shortest < sequence.longest && (
          <NumberField
            label="Length"
            aside={form.length === null ? `any, ${sequence.shortest} to ${sequence.longest}` : 'letters'}
            value={form.length}
            onChange={(length) => edit({ length })}
            min={sequence.shortest}
            max={sequence.longest}
            problem={problems.length ?? null}
            testId="length"
          />
        )}
        {!oneByOne && (
          <NumberField
            label="Steps"
            value={form.steps ?? sequence.defaults.steps}
            onChange={(value) => edit({ steps: value === sequence.defaults.steps ? null : value })}
            min={1}
            max={100_000}
            slider={[4, 256]}
            problem={problems.steps ?? null}
            testId="steps"
          />
        )}
        {sequence.guided && form.className !== null && (
          <NumberField
            label="Guidance"
            help="How strongly the class is followed: 1 as learnt, more is stronger."
            value={form.guidanceScale}
            onChange={(guidanceScale) => edit({ guidanceScale })}
            min={0}
            max={30}
            step={0.5}
            slider={[0, 10]}
            problem={problems.guidanceScale ?? null}
            testId="guidance"
          />
        )}
        <SeedField seed={form.seed} problem={problems.seed ?? null} change={(seed) => edit({ seed })} />
        <SteerFields
          of="sequences"
          steering={form.steering}
          bank={sequencesOf(input)}
          change={(steering) => edit({ steering })}
        />
        <Fold title="More settings">
          <SelectField
            label="Sampler"
            value={sampler}
            testId="scheduler"
            options={sequence.samplers.map((name) => ({ value: name, label: name }))}
            onChange={(name) => edit({ scheduler: sequence.samplers.find((s) => s === name) ?? null })}
          />
          {!sampler.startsWith('masked') && (
            <NumberField
              label="Noise per step (eta)"
              value={form.eta ?? sequence.defaults.eta}
              onChange={(eta) => edit({ eta })}
              min={0}
              max={1}
              step={0.05}
              slider={[0, 1]}
              problem={problems.eta ?? null}
              testId="eta"
            />
          )}
        </Fold>
      </div>
      <div className="foot">
        {estimate && form.steering && (
          <p className="small quiet" data-testid="steer-cost">
            {costWords(estimate, 'sequence')}
          </p>
        )}
        {refused && <p className="problem small">{refused.message}</p>}
        {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
        <Button
          look="primary"
          wide
          shortcut="Ctrl+Enter"
          busy={action.busy}
          disabled={!input}
          onClick={start}
          data-testid="generate-start"
        >
          {form.count ? `Generate ${plural(form.count, 'sequence')}` : 'Generate'}
        </Button>
      </div>
    </form>
  );
}
