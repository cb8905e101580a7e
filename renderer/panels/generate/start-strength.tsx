import { NumberField } from '#renderer/components/number-field.tsx';
import { edit, useGenerate } from './generate-store.ts';

/** How much of the start picture may change. */
export function StartStrength({ problem = null, testId }: { problem?: string | null; testId?: string }) {
  const strength = useGenerate((s) => s.form.strength);
  return (
    <NumberField
      label="Strength"
      help="How much may change: 0 nothing, 1 everything."
      value={strength}
      onChange={(value) => edit({ strength: value })}
      min={0}
      max={1}
      step={0.05}
      slider={[0, 1]}
      problem={problem}
      {...(testId !== undefined && { testId })}
    />
  );
}
