import { useEffect } from 'react';
import { Fold } from '#renderer/components/fold.tsx';
import { NumberField } from '#renderer/components/number-field.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import { Switch } from '#renderer/components/switch.tsx';
import { TextField } from '#renderer/components/text-field.tsx';
import { marks } from '#renderer/logic/mask.ts';
import { promptLines } from '#renderer/logic/prompts.ts';
import { tokenWords, unreadWords } from '#renderer/logic/token-count.ts';
import { useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { keepPicture } from '#renderer/state/keep-picture.ts';
import { useNavigation } from '#renderer/state/navigation.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { maskFile } from './draw-mask.ts';
import {
  edit,
  type GenerateForm as Form,
  followModelId,
  formProblems,
  generateInput,
  insertPrompt,
  keepsNothing,
  madeSize,
  readsNegative,
  schedulersOf,
  show,
  useGenerate,
} from './generate-store.ts';
import { ModelFields } from './model-fields.tsx';
import { RecallNote } from './recall-note.tsx';
import { schedulerNamed } from './schedulers.ts';
import { SeedField } from './seed-field.tsx';
import { StartFoot } from './start-foot.tsx';
import { StartPicture } from './start-picture.tsx';
import { SteerFields } from './steer-fields.tsx';
import { picturesOf } from './use-bank.ts';
import { useTokenCounts } from './use-token-counts.ts';
import { useWarmModel } from './use-warm-model.ts';
import { WEIGHT_KEYS } from './weight-keys.ts';

export function GenerateForm() {
  const form = useGenerate((s) => s.form);
  const models = useApp((s) => s.models);
  const { modelId, adapterId } = useNavigation();
  const model = models?.find((m) => m.id === modelId);
  const sampling = model?.sampling ?? null;
  useEffect(() => followModelId(model?.id ?? null), [model?.id]);
  const prompts = promptLines(form.prompts);
  const counts = useTokenCounts(modelId, prompts);
  const examples = (model?.examplePrompts ?? []).filter((prompt) => !prompts.includes(prompt)).slice(0, 3);
  const problems = formProblems(form, sampling);
  const input = generateInput(form, modelId, adapterId, sampling);
  useWarmModel(modelId, adapterId, input?.clipSkip ?? 1, form.prompts);
  const schedulers = schedulersOf(form, sampling);

  const start = async () => {
    const file =
      form.start && marks(form.mask) && model
        ? await maskFile(form.mask.marks, form.start.hash, madeSize(form, model))
        : null;
    return engine.call('generate.start', { ...input!, mask: file && (await keepPicture(file)) });
  };
  useShortcuts(WEIGHT_KEYS);

  return (
    <form className="side" aria-label="Generate" onSubmit={(event) => event.preventDefault()}>
      <div className="scroll">
        <TextField
          label="Prompts"
          aside={
            prompts.length === 0
              ? 'one per line'
              : tokenWords(prompts.length === counts.length ? counts : prompts.map(() => null))
          }
          help={unreadWords(counts)}
          value={form.prompts}
          onChange={(value) => edit({ prompts: value })}
          rows={4}
          placeholder="What should the pictures show?"
          problem={problems.prompts ?? null}
          testId="prompts"
        />
        {examples.length > 0 && (
          <fieldset className="row wrap" aria-label="Example prompts">
            {examples.map((prompt) => (
              <button
                key={prompt}
                type="button"
                className="chip"
                title={prompt}
                data-testid="example-prompt"
                onClick={() => insertPrompt(prompt)}
              >
                {prompt}
              </button>
            ))}
          </fieldset>
        )}
        <RecallNote />
        {model && (form.start || sampling?.startsFromPictures) && (
          <StartPicture made={madeSize(form, model)} problem={problems.start ?? problems.strength ?? null} />
        )}
        <ModelFields model={model} />
        <NumberField
          label="Per prompt"
          value={form.count}
          onChange={(count) => edit({ count })}
          min={1}
          max={512}
          slider={[1, 16]}
          problem={problems.count ?? null}
          testId="count"
        />
        <NumberField
          label="Steps"
          value={form.steps}
          onChange={(steps) => edit({ steps })}
          min={1}
          max={1000}
          slider={[5, 100]}
          problem={problems.steps ?? null}
          testId="steps"
        />
        {sampling?.guidance !== 'none' && (
          <NumberField
            label="Guidance"
            value={form.guidanceScale}
            onChange={(guidanceScale) => edit({ guidanceScale })}
            min={0}
            max={30}
            step={0.5}
            slider={[0, 12]}
            problem={problems.guidanceScale ?? null}
            testId="guidance"
          />
        )}
        {model && sampling?.freeSize && (
          <div className="sizes">
            {(['width', 'height'] as const).map((side) => (
              <NumberField
                key={side}
                label={side === 'width' ? 'Width' : 'Height'}
                value={form[side] ?? model[side]}
                onChange={(value) => edit({ [side]: value === model[side] ? null : value })}
                min={sampling.sizeMultiple}
                step={sampling.sizeMultiple}
                problem={problems[side] ?? null}
                testId={side}
              />
            ))}
          </div>
        )}
        <SeedField seed={form.seed} problem={problems.seed ?? null} change={(seed) => edit({ seed })} />
        <SteerFields
          of="pictures"
          steering={form.steering}
          bank={picturesOf(input)}
          change={(steering) => edit(steering ? { steering, start: null } : { steering })}
        />
        {keepsNothing(form) === null && (
          <Switch
            label="Keep what tuning needs"
            help="Stores every step, so that your ranking can tune the model later."
            checked={form.keepTrajectories}
            onChange={(keepTrajectories) => edit({ keepTrajectories })}
            testId="keep-trajectories"
          />
        )}
        <Fold title="More settings">
          <Switch
            label="Same starting noise"
            help="All pictures of one prompt begin alike, so that they differ less."
            checked={form.shareInitialNoise}
            onChange={(shareInitialNoise) => edit({ shareInitialNoise })}
            testId="share-noise"
          />
          {readsNegative(form, sampling) && (
            <TextField
              label="Avoid"
              aside="negative prompt"
              value={form.negativePrompt}
              onChange={(negativePrompt) => edit({ negativePrompt })}
              testId="negative-prompt"
            />
          )}
          <SelectField
            label="Scheduler"
            value={schedulers.used?.value ?? ''}
            options={schedulers.offered}
            help={schedulerHelp(form)}
            testId="scheduler"
            onChange={(name) => edit({ scheduler: schedulerNamed(name)?.value ?? 'ddim' })}
          />
          {sampling && sampling.clipSkips > 1 && (
            <NumberField
              label="Clip skip"
              help="Reads the prompt from an earlier layer of the text encoder: 1 is the one that the model was made with, 2 the one before it."
              value={form.clipSkip}
              onChange={(clipSkip) => edit({ clipSkip })}
              min={1}
              max={sampling.clipSkips}
              problem={problems.clipSkip ?? null}
              testId="clip-skip"
            />
          )}
          {schedulers.used?.eta && (
            <NumberField
              label="Noise per step (eta)"
              help="0 is deterministic; more noise makes pictures of one seed differ more."
              value={form.eta}
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
        noun="picture"
        count={prompts.length * (form.count ?? 0)}
        work={input}
        problem={problems.eta ?? problems.scheduler}
        ready={input !== null && model?.usable !== false}
        start={start}
        show={show}
        reseed={(seed) => edit({ seed })}
      />
    </form>
  );
}

function schedulerHelp(form: Form): string | undefined {
  if (form.steering) return 'Only those with several ways on at each step can be steered.';
  return form.keepTrajectories && keepsNothing(form) === null
    ? 'Tuning learns from these; for the others switch off “Keep what tuning needs”.'
    : undefined;
}
