import type { ReactNode } from 'react';
import { Field } from './field.tsx';

interface Props {
  readonly label: string;
  readonly value: string;
  onChange(value: string): void;
  readonly rows?: number;
  readonly placeholder?: string;
  readonly aside?: ReactNode;
  readonly help?: ReactNode;
  readonly problem?: string | null;
  readonly testId?: string;
}

/** One line of text, or several when `rows` is given. */
export function TextField({ label, value, onChange, rows, placeholder, testId, ...rest }: Props) {
  return (
    <Field label={label} {...rest}>
      {(control) =>
        rows ? (
          <textarea
            {...control}
            className="input"
            rows={rows}
            value={value}
            placeholder={placeholder}
            data-testid={testId}
            onChange={(event) => onChange(event.target.value)}
          />
        ) : (
          <input
            {...control}
            className="input"
            type="text"
            value={value}
            placeholder={placeholder}
            data-testid={testId}
            onChange={(event) => onChange(event.target.value)}
          />
        )
      }
    </Field>
  );
}
