import { Button } from '#renderer/components/button.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { NumberField } from '#renderer/components/number-field.tsx';
import { randomSeed } from '#renderer/logic/prompts.ts';

/** Where all randomness of a job starts, and a button for another one. */
export function SeedField(props: {
  readonly seed: number | null;
  readonly problem: string | null;
  readonly change: (seed: number | null) => void;
}) {
  return (
    <div className="seed">
      <NumberField
        label="Seed"
        value={props.seed}
        onChange={props.change}
        min={0}
        max={2 ** 31 - 1}
        problem={props.problem}
        testId="seed"
      />
      <Button iconOnly aria-label="New seed" title="New seed (D)" onClick={() => props.change(randomSeed())}>
        <Icon name="dice" />
      </Button>
    </div>
  );
}
