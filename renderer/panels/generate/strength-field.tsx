import { Field } from '#renderer/components/field.tsx';
import { formatNumber } from '#renderer/logic/format.ts';

/** Places of the slider for each factor of ten. */
const PER_DECADE = 4;
/** −log₁₀ α at both ends: α from 10 to 0.001. */
const WEAKEST = -1;
const STRONGEST = 3;

/** Where the slider stands while no α is chosen. */
const USUAL = 0.1;

/** How firmly a reward steers: the temperature α on a logarithmic slider, less of it to the right; null: one that fits is found. */
export function StrengthField({
  alpha,
  help,
  onChange,
}: {
  alpha: number | null;
  help: string;
  onChange(alpha: number): void;
}) {
  const words = alpha === null ? 'α as fits plain samples' : `α ${formatNumber(alpha)}`;
  return (
    <Field label="Strength" aside={words} help={`${help}. To the right the reward decides more.`}>
      {(control) => (
        <input
          {...control}
          type="range"
          className="strength"
          min={WEAKEST * PER_DECADE}
          max={STRONGEST * PER_DECADE}
          step={1}
          value={Math.round(-Math.log10(alpha ?? USUAL) * PER_DECADE)}
          aria-valuetext={words}
          data-testid="steer-strength"
          onChange={(event) => onChange(Number((10 ** (-Number(event.target.value) / PER_DECADE)).toPrecision(3)))}
        />
      )}
    </Field>
  );
}
