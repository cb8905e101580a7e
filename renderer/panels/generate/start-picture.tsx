import { Button } from '#renderer/components/button.tsx';
import { NumberField } from '#renderer/components/number-field.tsx';
import { Picture } from '#renderer/components/picture.tsx';
import { edit, useGenerate } from './generate-store.ts';

/** The picture that new ones start from, and how much of it may change; nothing while there is none. */
export function StartPicture({ problem }: { problem: string | null }) {
  const { start, strength } = useGenerate((s) => s.form);
  if (!start) return null;
  return (
    <fieldset className="stack" aria-label="Start picture" data-testid="start-picture">
      <div className="row">
        <span className="start-thumbnail">
          <Picture hash={start.hash} alt={start.prompt} />
        </span>
        <Button size="small" look="plain" onClick={() => edit({ start: null })} data-testid="start-remove">
          Start from noise instead
        </Button>
      </div>
      <NumberField
        label="Strength"
        help="How much of the start picture may change: 0 nothing, 1 everything."
        value={strength}
        onChange={(value) => edit({ strength: value })}
        min={0}
        max={1}
        step={0.05}
        slider={[0, 1]}
        problem={problem}
        testId="strength"
      />
    </fieldset>
  );
}
