import { type ReactNode, useId } from 'react';

interface Props {
  readonly label: string;
  readonly checked: boolean;
  onChange(checked: boolean): void;
  readonly help?: ReactNode;
  readonly disabled?: boolean;
  readonly testId?: string;
}

export function Switch({ label, checked, onChange, help, disabled, testId }: Props) {
  const id = useId();
  return (
    <label className="switch">
      <span className="name" id={`${id}-name`}>
        {label}
      </span>
      <input
        type="checkbox"
        role="switch"
        aria-checked={checked}
        aria-labelledby={`${id}-name`}
        aria-describedby={help ? `${id}-help` : undefined}
        checked={checked}
        disabled={disabled}
        data-testid={testId}
        onChange={(event) => onChange(event.target.checked)}
      />
      {help && (
        <span className="help" id={`${id}-help`}>
          {help}
        </span>
      )}
    </label>
  );
}
