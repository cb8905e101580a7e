import { useEffect, useRef } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { NumberField } from '#renderer/components/number-field.tsx';
import { Segmented } from '#renderer/components/segmented.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import { TextField } from '#renderer/components/text-field.tsx';
import { fieldLabel } from '#renderer/logic/fields.ts';
import {
  dropReward,
  hasRoom,
  nameReward,
  raiseReward,
  type Steering,
  weighReward,
  weighs,
} from '#renderer/logic/steering.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import type { Choices, Steered } from './steer-store.ts';

interface Props {
  readonly of: Steered;
  readonly choices: Choices;
  readonly steering: Steering;
  change(steering: Steering): void;
  /** The first reward. */
  begin(reward: string): void;
}

/** A reward that is written out, to begin with. */
const WRITTEN = 'motif:TGASTCA';

/** The rewards that are followed: one line to choose the first by; with more, how much each counts, and whether it is to rise or to fall. */
export function RewardRows({ of, choices, steering, change, begin }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const rows = steering?.rewards ?? [];
  const several = rows.length > 1;
  const before = useRef(rows.length);
  useEffect(() => {
    // One that was added is chosen next; where one was left out, the keyboard stays near.
    if (rows.length > Math.max(1, before.current)) [...(box.current?.querySelectorAll('select') ?? [])].at(-1)?.focus();
    else if (rows.length > 0 && rows.length < before.current) box.current?.querySelector('select')?.focus();
    before.current = rows.length;
  }, [rows.length]);
  const listed = (name: string) => choices.rewards.find((r) => r.reward === name);
  const free = choices.rewards.filter((r) => !rows.some(({ reward }) => reward === r.reward));
  const next = free[0]?.reward ?? (of === 'sequences' ? WRITTEN : undefined);
  const canAdd = steering !== null && next !== undefined && hasRoom(steering);
  const add = () => canAdd && change({ ...steering, rewards: [...steering.rewards, { reward: next, weight: 1 }] });
  useShortcuts([{ keys: ['r'], does: 'Steer by one reward more', group: 'Generate', run: add }]);
  /** Whether higher is what the reward calls better; of one that is written out, by what it begins with. */
  const risesWell = (name: string) => (listed(name) ?? listed(name.split(':')[0]!))?.higherIsBetter ?? true;
  const labelOf = (name: string) => fieldLabel(listed(name)?.label ?? name);

  return (
    <div ref={box} className="stack">
      {(rows.length === 0 ? [{ reward: '', weight: 1 }] : rows).map(({ reward, weight }, at) => {
        const own = listed(reward);
        const isWritten = of === 'sequences' && reward !== '' && !own;
        const n = at === 0 ? '' : `-${at + 1}`;
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: a row is its place
          <fieldset key={at} className={several ? 'stack tight reward-row' : 'stack'} aria-label={`Reward ${at + 1}`}>
            <SelectField
              label={at === 0 ? 'Steer by' : 'and by'}
              value={isWritten ? WRITTEN : reward}
              testId={`steer-by${n}`}
              help={own?.description ?? `A reward can choose between several ways on while ${of} are made.`}
              options={[
                { value: '', label: several ? 'Leave it out' : `Nothing: ${of} as the model makes them` },
                ...choices.rewards
                  .filter((r) => r === own || free.includes(r))
                  .map((r) => ({ value: r.reward, label: fieldLabel(r.label) })),
                ...(of === 'sequences' ? [{ value: WRITTEN, label: 'Another, written out…' }] : []),
              ]}
              onChange={(name) => {
                if (steering === null) begin(name);
                else change(name === '' ? dropReward(steering, at) : nameReward(steering, at, name));
              }}
            />
            {steering && isWritten && (
              <TextField
                label="Reward"
                value={reward}
                testId={`steer-reward${n}`}
                placeholder={WRITTEN}
                help="A name with its options, such as motif:TGASTCA,count=true; a formula, expr:gc - 0.1*homopolymer; or onnx: and the path of a scorer."
                onChange={(name) => change(nameReward(steering, at, name))}
              />
            )}
            {steering && several && (
              <>
                {weighs(steering) && (
                  <NumberField
                    label="Weight"
                    value={Math.abs(weight)}
                    min={0.1}
                    max={10}
                    step={0.1}
                    slider={[0.1, 3]}
                    testId={`steer-weight-${at + 1}`}
                    onChange={(size) => {
                      if (size !== null && size > 0) change(weighReward(steering, at, Math.sign(weight) * size));
                    }}
                  />
                )}
                <div className="row apart">
                  <Segmented
                    label={`${labelOf(reward)}: higher or lower`}
                    value={weight > 0 === risesWell(reward) ? 'higher' : 'lower'}
                    options={[
                      { value: 'higher', label: 'Higher' },
                      { value: 'lower', label: 'Lower' },
                    ]}
                    onChange={(way) => {
                      const sign = (way === 'higher') === risesWell(reward) ? 1 : -1;
                      change(weighReward(steering, at, sign * Math.abs(weight)));
                    }}
                  />
                  <span className="row">
                    {steering.combine === 'lexicographic' && at > 0 && (
                      <Button
                        size="small"
                        aria-label={`${labelOf(reward)} before ${labelOf(rows[at - 1]!.reward)}`}
                        data-testid={`steer-raise-${at + 1}`}
                        onClick={() => change(raiseReward(steering, at))}
                      >
                        Earlier
                      </Button>
                    )}
                    <Button
                      size="small"
                      aria-label={`Leave out ${labelOf(reward)}`}
                      data-testid={`steer-remove-${at + 1}`}
                      onClick={() => change(dropReward(steering, at))}
                    >
                      Remove
                    </Button>
                  </span>
                </div>
              </>
            )}
          </fieldset>
        );
      })}
      {canAdd && (
        <>
          <Button size="small" shortcut="r" data-testid="steer-add" onClick={add}>
            Add a reward
          </Button>
          {!several && (
            <p className="small quiet" data-testid="steer-teach">
              {`${labelOf(rows[0]?.reward ?? '')} alone may be had at the price of all else. A second reward holds against it: each is put on one scale by plain ${of}, and you say how much it counts.`}
            </p>
          )}
        </>
      )}
    </div>
  );
}
