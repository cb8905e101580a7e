import { useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { NumberField } from '#renderer/components/number-field.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import { TextField } from '#renderer/components/text-field.tsx';
import { plural } from '#renderer/logic/format.ts';
import { promptLines, randomSeed } from '#renderer/logic/prompts.ts';
import { takeJob, takeSession, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { choose, useNavigation } from '#renderer/state/navigation.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { useAction } from '#renderer/state/use-action.ts';

/** The value of the base model in a select: never an adapter's id. */
const BASE = '';

export function CompareForm() {
  const { models, adapters } = useApp();
  const { modelId, compareAdapterId, adapterId } = useNavigation();
  const model = models?.find((m) => m.id === modelId);
  const own = (adapters ?? []).filter((adapter) => adapter.modelId === modelId);
  const offered = own.find((adapter) => adapter.id === (compareAdapterId ?? adapterId)) ?? own[0];
  const [a, setA] = useState(BASE);
  const [b, setB] = useState<string | null>(null);
  const [text, setText] = useState<string | null>(null);
  const [perPrompt, setPerPrompt] = useState<number | null>(4);
  const [steps, setSteps] = useState<number | null>(30);
  const [guidance, setGuidance] = useState<number | null>(3);
  const [seed, setSeed] = useState<number | null>(randomSeed);
  const action = useAction();

  const prompts = promptLines(text ?? (model?.examplePrompts ?? []).join('\n'));
  const sideB = b ?? offered?.id ?? BASE;
  const questions = prompts.length * (perPrompt ?? 0);
  const whole = (value: number | null, min: number, max: number) =>
    value !== null && Number.isInteger(value) && value >= min && value <= max
      ? null
      : `A whole number, ${min} to ${max}.`;
  const problems = {
    perPrompt: whole(perPrompt, 1, 64),
    steps: whole(steps, 1, 1000),
    seed: whole(seed, 0, 2 ** 31 - 1),
  };
  const same = a === sideB;
  const ready =
    model?.usable &&
    !same &&
    prompts.length > 0 &&
    !problems.perPrompt &&
    !problems.steps &&
    !problems.seed &&
    guidance !== null;

  const start = () => {
    if (!ready || action.busy || modelId === null || perPrompt === null || steps === null || seed === null) return;
    void action.run(async () => {
      const { job, session } = await engine.call('compare.start', {
        modelId,
        adapterA: a || null,
        adapterB: sideB || null,
        ...{ prompts, perPrompt, steps, seed },
        guidanceScale: guidance,
      });
      takeJob(job);
      takeSession(session);
      choose({ compareSessionId: session.id });
    });
  };
  useShortcuts([{ keys: ['Ctrl+Enter'], does: 'Start the comparison', group: 'Compare', inFields: true, run: start }]);
  const sides = [
    { value: BASE, label: 'Base model' },
    ...own.map((adapter) => ({ value: adapter.id, label: adapter.name })),
  ];
  return (
    <form className="side" aria-label="New comparison" onSubmit={(event) => event.preventDefault()}>
      <div className="scroll">
        <h2>New comparison</h2>
        <SelectField
          label="Model"
          value={modelId ?? ''}
          options={(models ?? []).map((m) => ({
            value: m.id,
            label: m.sequence ? `${m.name} (pictures only)` : m.name,
            disabled: !m.usable || m.sequence !== null,
          }))}
          onChange={(id) => {
            choose({ modelId: id, adapterId: null, compareAdapterId: null });
            setA(BASE);
            setB(null);
          }}
        />
        <SelectField label="A" value={a} options={sides} onChange={setA} testId="compare-a" />
        <SelectField label="B" value={sideB} options={sides} onChange={setB} testId="compare-b" />
        {same && (
          <p className="problem small" role="alert">
            {own.length === 0
              ? 'This model has no adapter yet. Tune one first.'
              : 'A and B are the same. Choose two different ones.'}
          </p>
        )}
        <TextField
          label="Prompts"
          aside={prompts.length > 1 ? plural(prompts.length, 'prompt') : 'one per line'}
          value={text ?? (model?.examplePrompts ?? []).join('\n')}
          onChange={setText}
          rows={5}
          help="Prompts the tuning did not see say most."
          testId="compare-prompts"
        />
        <NumberField
          label="Per prompt"
          value={perPrompt}
          onChange={setPerPrompt}
          min={1}
          max={64}
          slider={[1, 16]}
          problem={problems.perPrompt}
          help={`${plural(questions, 'question')} in all. ${questions < 30 ? 'About 30 or more give a useful interval.' : ''}`}
          testId="compare-per-prompt"
        />
        <Fold title="More settings">
          <NumberField
            label="Steps"
            value={steps}
            onChange={setSteps}
            min={1}
            max={1000}
            problem={problems.steps}
            testId="compare-steps"
          />
          <NumberField label="Guidance" value={guidance} onChange={setGuidance} min={0} max={30} step={0.5} />
          <NumberField
            label="Seed"
            value={seed}
            onChange={setSeed}
            min={0}
            problem={problems.seed}
            help="A and B use the same seeds."
          />
        </Fold>
      </div>
      <div className="foot">
        {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
        <Button
          look="primary"
          wide
          shortcut="Ctrl+Enter"
          disabled={!ready}
          busy={action.busy}
          onClick={start}
          data-testid="compare-start"
        >
          {ready ? `Make ${plural(questions * 2, 'picture')}` : 'Start'}
        </Button>
      </div>
    </form>
  );
}
