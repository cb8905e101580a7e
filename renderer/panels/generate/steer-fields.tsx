import { useEffect } from 'react';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { GeneratedField } from '#renderer/components/generated-field.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import { type FieldValue, fieldLabel } from '#renderer/logic/fields.ts';
import { useApp } from '#renderer/state/app.ts';
import { edit, useGenerate } from './generate-store.ts';
import { loadChoices, useSteer } from './steer-store.ts';
import { StrengthField } from './strength-field.tsx';

/** A reward to follow while pictures are made, and how: nothing more than a choice of none while it is none. */
export function SteerFields() {
  const steering = useGenerate((s) => s.form.steering);
  const phase = useApp((s) => s.connection.phase);
  const { choices, error } = useSteer();
  useEffect(() => {
    if (phase === 'ready') void loadChoices();
  }, [phase]);
  if (error) return <ErrorNote error={error} retry={() => void loadChoices()} />;
  if (!choices) return null;
  const reward = choices.rewards.find((r) => r.reward === steering?.reward);
  const decoder = choices.decoders.find((d) => d.name === steering?.decoder);

  const steerBy = (name: string) => {
    const first = choices.decoders[0];
    if (name === '' || !first) edit({ steering: null });
    else edit({ start: null, steering: steering ? { ...steering, reward: name } : newSteering(name, first.name) });
  };
  const setOption = (key: string, value: FieldValue) =>
    steering && edit({ steering: { ...steering, options: { ...steering.options, [key]: value } } });
  const option = (key: string, fallback: FieldValue) => steering?.options[key] ?? fallback;
  const field = (key: string) => decoder?.fields.find((f) => f.key === key);
  const count = decoder && field(decoder.countKey);
  const alpha = field('alpha');
  const rest = decoder?.fields.filter((f) => f !== count && f !== alpha) ?? [];

  return (
    <fieldset className="stack" aria-label="Steering">
      <SelectField
        label="Steer by"
        value={reward?.reward ?? ''}
        testId="steer-by"
        help={reward?.description ?? 'A reward can choose between several ways on while a picture is made.'}
        options={[
          { value: '', label: 'Nothing: pictures as the model makes them' },
          ...choices.rewards.map((r) => ({ value: r.reward, label: fieldLabel(r.reward) })),
        ]}
        onChange={steerBy}
      />
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
            options={choices.decoders.map((d) => ({ value: d.name, label: d.title }))}
            onChange={(name) => edit({ steering: newSteering(steering.reward, name) })}
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
