import { useEffect } from 'react';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { GeneratedField } from '#renderer/components/generated-field.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import { TextField } from '#renderer/components/text-field.tsx';
import { type FieldValue, fieldLabel } from '#renderer/logic/fields.ts';
import { useApp } from '#renderer/state/app.ts';
import { BankPreview } from './bank-preview.tsx';
import type { GenerateForm } from './generate-store.ts';
import { loadChoices, type Steered, useSteer } from './steer-store.ts';
import { StrengthField } from './strength-field.tsx';
import type { BankOf } from './use-bank.ts';

export type Steering = GenerateForm['steering'];

interface Props {
  readonly of: Steered;
  readonly steering: Steering;
  /** Plain samples of the form, to see what steering would do; null while it is not complete. */
  readonly bank: BankOf | null;
  change(steering: Steering): void;
}

/** A reward that is written out, to begin with. */
const WRITTEN = 'motif:TGASTCA';

/** A reward to follow while samples are made, and how: nothing more than a choice of none while it is none. */
export function SteerFields({ of, steering, bank, change }: Props) {
  const phase = useApp((s) => s.connection.phase);
  const choices = useSteer((s) => s.choices[of]);
  const error = useSteer((s) => s.error);
  useEffect(() => {
    if (phase === 'ready') void loadChoices(of);
  }, [phase, of]);
  if (error) return <ErrorNote error={error} retry={() => void loadChoices(of)} />;
  if (!choices) return null;
  const reward = choices.rewards.find((r) => r.reward === steering?.reward);
  const isWritten = of === 'sequences' && steering !== null && !reward;
  const decoder = choices.decoders.find((d) => d.name === steering?.decoder);
  // A reward that is written out may have a gradient: making says so where it has not.
  const methodsFor = (name: string) =>
    choices.decoders.filter(
      (d) => !d.needsGradient || (choices.rewards.find((r) => r.reward === name)?.hasGradient ?? true),
    );

  const steerBy = (name: string) => {
    const [first] = choices.decoders;
    if (name === '' || !first) change(null);
    else if (steering && methodsFor(name).includes(decoder!)) change({ ...steering, reward: name });
    else change(newSteering(name, first.name));
  };
  const setOption = (key: string, value: FieldValue) =>
    steering && change({ ...steering, options: { ...steering.options, [key]: value } });
  const option = (key: string, fallback: FieldValue) => steering?.options[key] ?? fallback;
  const field = (key: string) => decoder?.fields.find((f) => f.key === key);
  const count = decoder && field(decoder.countKey);
  // A method that has no temperature of its own by default has it among its other settings.
  const alpha = decoder?.fields.find((f) => f.key === 'alpha' && f.default !== null);
  const rest = decoder?.fields.filter((f) => f !== count && f !== alpha) ?? [];

  return (
    <fieldset className="stack" aria-label="Steering">
      <SelectField
        label="Steer by"
        value={isWritten ? WRITTEN : (reward?.reward ?? '')}
        testId="steer-by"
        help={reward?.description ?? `A reward can choose between several ways on while ${of} are made.`}
        options={[
          { value: '', label: `Nothing: ${of} as the model makes them` },
          ...choices.rewards.map((r) => ({ value: r.reward, label: fieldLabel(r.label) })),
          ...(of === 'sequences' ? [{ value: WRITTEN, label: 'Another, written out…' }] : []),
        ]}
        onChange={steerBy}
      />
      {isWritten && (
        <TextField
          label="Reward"
          value={steering.reward}
          testId="steer-reward"
          placeholder={WRITTEN}
          help="A name with its options, such as motif:TGASTCA,count=true; a formula, expr:gc - 0.1*homopolymer; or onnx: and the path of a scorer."
          onChange={(name) => change({ ...steering, reward: name })}
        />
      )}
      {steering && decoder && (
        <>
          <SelectField
            label="Method"
            value={decoder.name}
            testId="steer-method"
            help={
              <>
                {decoder.description} <span className="source">{decoder.source}</span>
              </>
            }
            options={methodsFor(steering.reward).map((d) => ({ value: d.name, label: d.title }))}
            onChange={(name) => change(newSteering(steering.reward, name))}
          />
          {count && (
            <GeneratedField
              field={count}
              value={option(count.key, count.default)}
              onChange={(value) => setOption(count.key, value)}
            />
          )}
          {alpha && (
            <StrengthField
              alpha={Number(option('alpha', alpha.default))}
              help={alpha.description}
              onChange={(value) => setOption('alpha', value)}
            />
          )}
          {bank && steering.reward !== '' && (
            <BankPreview
              of={bank}
              reward={steering.reward}
              alpha={alpha ? Number(option('alpha', alpha.default)) || null : null}
              onAlpha={(value) => setOption('alpha', value)}
            />
          )}
          {rest.length > 0 && (
            <Fold title={`More of this method (${rest.length})`} testId="steer-more">
              {rest.map((f) => (
                <GeneratedField
                  key={f.key}
                  field={f}
                  value={option(f.key, f.default)}
                  onChange={(value) => setOption(f.key, value)}
                />
              ))}
            </Fold>
          )}
        </>
      )}
    </fieldset>
  );
}

const newSteering = (reward: string, decoder: string) => ({ reward, decoder, options: {} });
