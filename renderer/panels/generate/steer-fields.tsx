import { useEffect } from 'react';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { GeneratedField } from '#renderer/components/generated-field.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import type { FieldValue } from '#renderer/logic/fields.ts';
import { needsScale, newSteering, type Steering } from '#renderer/logic/steering.ts';
import { useApp } from '#renderer/state/app.ts';
import { BankPreview } from './bank-preview.tsx';
import { RewardRows } from './reward-rows.tsx';
import { RewardTogether } from './reward-together.tsx';
import { loadChoices, type Steered, useSteer } from './steer-store.ts';
import { StrengthField } from './strength-field.tsx';
import type { BankOf } from './use-bank.ts';
import { ValueField } from './value-field.tsx';

interface Props {
  readonly of: Steered;
  readonly steering: Steering;
  /** Plain samples of the form, to see what steering would do; null while it is not complete. */
  readonly bank: BankOf | null;
  change(steering: Steering): void;
}

/** Rewards to follow while samples are made, and how: nothing more than a choice of none while there is none. */
export function SteerFields({ of, steering, bank, change }: Props) {
  const phase = useApp((s) => s.connection.phase);
  const choices = useSteer((s) => s.choices[of]);
  const error = useSteer((s) => s.error);
  useEffect(() => {
    if (phase === 'ready') void loadChoices(of);
  }, [phase, of]);
  if (error) return <ErrorNote error={error} retry={() => void loadChoices(of)} />;
  if (!choices) return null;
  const decoder = choices.decoders.find((d) => d.name === steering?.decoder);
  // A reward that is written out may have a gradient: making says so where it has not.
  const hasGradient = (name: string) => choices.rewards.find((r) => r.reward === name)?.hasGradient ?? true;
  const methodsFor = (followed: NonNullable<Steering>) =>
    choices.decoders.filter(
      (d) => !d.needsGradient || (!needsScale(followed) && hasGradient(followed.rewards[0]!.reward)),
    );
  /** A method that cannot follow what is chosen now makes way. */
  const follow = (next: Steering) => {
    const [first] = choices.decoders;
    if (next === null || !first) change(null);
    else if (decoder && methodsFor(next).includes(decoder)) change(next);
    else change({ ...next, decoder: first.name, options: {} });
  };
  const setOption = (key: string, value: FieldValue) =>
    steering && change({ ...steering, options: { ...steering.options, [key]: value } });
  const option = (key: string, fallback: FieldValue) => steering?.options[key] ?? fallback;
  const field = (key: string) => decoder?.fields.find((f) => f.key === key);
  const count = decoder && field(decoder.countKey);
  // A method that has no temperature of its own by default has it among its other settings.
  const tempered = decoder?.fields.find((f) => f.key === 'alpha' && f.default !== null);
  // The folder of a network, where one belongs to the only reward, is chosen by what it is for.
  const valued = decoder?.name === 'svdd-mc' && steering && !needsScale(steering) ? field('value') : undefined;
  const rest = decoder?.fields.filter((f) => f !== count && f !== tempered && f !== valued) ?? [];
  // Rewards on one scale have a temperature that fits; that of one alone is in its own units.
  const unsaid = steering && needsScale(steering) ? null : (tempered?.default ?? null);
  const alpha = tempered ? Number(option('alpha', unsaid)) || null : null;

  return (
    <fieldset className="stack" aria-label="Steering">
      <RewardRows
        of={of}
        choices={choices}
        steering={steering}
        change={follow}
        begin={(reward) => follow(newSteering(reward, ''))}
      />
      {steering && decoder && (
        <>
          <RewardTogether
            of={of}
            combinations={choices.combinations}
            followed={steering}
            change={(followed) => follow({ ...steering, ...followed })}
          />
          <SelectField
            label="Method"
            value={decoder.name}
            testId="steer-method"
            help={
              <>
                {decoder.description} <span className="source">{decoder.source}</span>
              </>
            }
            options={methodsFor(steering).map((d) => ({ value: d.name, label: d.title }))}
            onChange={(name) => change({ ...steering, decoder: name, options: {} })}
          />
          {count && (
            <GeneratedField
              field={count}
              value={option(count.key, count.default)}
              onChange={(value) => setOption(count.key, value)}
            />
          )}
          {tempered && (
            <StrengthField alpha={alpha} help={tempered.description} onChange={(value) => setOption('alpha', value)} />
          )}
          {valued && (
            <ValueField
              of={bank}
              reward={steering.rewards[0]!.reward}
              folder={String(option(valued.key, ''))}
              choose={(folder) => setOption(valued.key, folder)}
            />
          )}
          {bank && steering.rewards.every(({ reward }) => reward !== '') && (
            <BankPreview
              of={bank}
              followed={steering}
              alpha={alpha}
              tilts={tempered !== undefined}
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
