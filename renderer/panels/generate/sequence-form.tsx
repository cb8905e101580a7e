import { useEffect } from 'react';
import type { Model } from '#pipelines/engine/contract.ts';
import { Fold } from '#renderer/components/fold.tsx';
import { NumberField } from '#renderer/components/number-field.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import { engine } from '#renderer/state/engine.ts';
import { useNavigation } from '#renderer/state/navigation.ts';
import { ModelFields } from './model-fields.tsx';
import { SeedField } from './seed-field.tsx';
import { edit, followModel, formProblems, sequencesInput, show, useSequences } from './sequence-store.ts';
import { StartFoot } from './start-foot.tsx';
import { SteerFields } from './steer-fields.tsx';
import { sequencesOf } from './use-bank.ts';

const ANY = 'Any';

/** What to write with a model of sequences. */
export function SequenceForm({ model }: { model: Model & { sequence: NonNullable<Model['sequence']> } }) {
  const form = useSequences((s) => s.form);
  const adapterId = useNavigation((s) => s.adapterId);
  const { sequence } = model;
  useEffect(() => followModel(model), [model]);
  const problems = formProblems(form, sequence);
  const input = sequencesInput(form, model, adapterId);
  const sampler = form.scheduler ?? sequence.defaults.scheduler;
  const oneByOne = sampler === 'masked-one-at-a-time';
  const steps = oneByOne ? (form.length ?? sequence.longest) : (form.steps ?? sequence.defaults.steps);
  return (
    <form className="side" aria-label="Generate" onSubmit={(event) => event.preventDefault()}>
      <div className="scroll">
        <ModelFields model={model} />
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
      <StartFoot
        noun="sequence"
        count={form.count ?? 0}
        work={
          input && {
            prompts: [''],
            count: input.count ?? 1,
            steps: Math.min(steps, 1000),
            steering: input.steering ?? null,
          }
        }
        ready={input !== null && model.usable}
        start={() => engine.call('sequences.start', input!)}
        show={show}
        reseed={(seed) => edit({ seed })}
      />
    </form>
  );
}
