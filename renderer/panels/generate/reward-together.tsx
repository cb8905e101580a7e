import { NumberField } from '#renderer/components/number-field.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import { Switch } from '#renderer/components/switch.tsx';
import type { Followed } from '#renderer/logic/steering.ts';
import type { Choices, Steered } from './steer-store.ts';

/** The quantile that a cap begins at. */
const USUAL_CAP = 0.99;

interface Props {
  readonly of: Steered;
  readonly combinations: Choices['combinations'];
  readonly followed: Followed;
  change(followed: Partial<Followed>): void;
}

/** How several rewards become one, and where credit for each of them ends. */
export function RewardTogether({ of, combinations, followed: { rewards, combine, cap }, change }: Props) {
  return (
    <>
      {rewards.length > 1 && (
        <SelectField
          label="Together"
          value={combine}
          testId="steer-combine"
          help={combinations.find(({ name }) => name === combine)?.description}
          options={combinations.map(({ name, title }) => ({ value: name, label: title }))}
          onChange={(name) => {
            const chosen = combinations.find((c) => c.name === name);
            if (chosen) change({ combine: chosen.name });
          }}
        />
      )}
      <Switch
        label={rewards.length > 1 ? 'Cap each reward' : 'Cap it'}
        help={`No more credit beyond what the very best plain ${of} get, so that nothing is gained by running away with a reward.`}
        checked={cap !== null}
        testId="steer-cap"
        onChange={(on) => change({ cap: on ? USUAL_CAP : null })}
      />
      {cap !== null && (
        <NumberField
          label="Share"
          help={`Of plain ${of}: those that are better get no more credit than the best of this share.`}
          value={cap}
          min={0.5}
          max={0.999}
          step={0.005}
          slider={[0.5, 0.995]}
          testId="steer-cap-at"
          onChange={(share) => {
            if (share !== null && share > 0 && share < 1) change({ cap: share });
          }}
        />
      )}
    </>
  );
}
