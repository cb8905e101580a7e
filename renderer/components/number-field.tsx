import { type ReactNode, useState } from 'react';
import { Field } from './field.tsx';

interface Props {
  readonly label: string;
  /** Null is an empty field. */
  readonly value: number | null;
  onChange(value: number | null): void;
  readonly min?: number;
  readonly max?: number;
  readonly step?: number | 'any';
  /** Shows a slider over this range beside the number; the number may go beyond it, up to `max`. */
  readonly slider?: readonly [number, number];
  readonly aside?: ReactNode;
  readonly help?: ReactNode;
  readonly problem?: string | null;
  readonly disabled?: boolean;
  readonly testId?: string;
}

/** A number that can be typed and, over its usual range, slid. What is typed is kept as typed until it is left. */
export function NumberField({ label, value, onChange, min, max, step = 1, slider, disabled, testId, ...rest }: Props) {
  const [typed, setTyped] = useState<string | null>(null);
  const shown = typed ?? (value === null ? '' : String(value));
  return (
    <Field label={label} className={slider ? 'field slid' : 'field'} {...rest}>
      {(control) => (
        <div className={slider ? 'number-field' : 'number-field lone'}>
          {slider && (
            <input
              type="range"
              aria-label={`${label}, slider`}
              min={slider[0]}
              max={slider[1]}
              step={step}
              value={value ?? slider[0]}
              disabled={disabled}
              tabIndex={-1}
              onChange={(event) => onChange(Number(event.target.value))}
            />
          )}
          <input
            {...control}
            className="input"
            type="number"
            inputMode="decimal"
            min={min}
            max={max}
            step={step}
            value={shown}
            disabled={disabled}
            data-testid={testId}
            onChange={(event) => {
              setTyped(event.target.value);
              onChange(event.target.value === '' ? null : Number(event.target.value));
            }}
            onBlur={() => setTyped(null)}
          />
        </div>
      )}
    </Field>
  );
}
