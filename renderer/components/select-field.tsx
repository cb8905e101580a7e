import type { ReactNode } from 'react';
import { Field } from './field.tsx';

interface Props {
  readonly label: string;
  readonly value: string;
  readonly options: readonly { readonly value: string; readonly label: string; readonly disabled?: boolean }[];
  onChange(value: string): void;
  readonly help?: ReactNode;
  readonly disabled?: boolean;
  readonly testId?: string;
}

export function SelectField({ label, value, options, onChange, help, disabled, testId }: Props) {
  return (
    <Field label={label} help={help}>
      {(control) => (
        <select
          {...control}
          className="input"
          value={value}
          disabled={disabled}
          data-testid={testId}
          onChange={(event) => onChange(event.target.value)}
        >
          {options.map((option) => (
            <option key={option.value} value={option.value} disabled={option.disabled}>
              {option.label}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
