import { type ReactNode, useId } from 'react';

interface Props {
  readonly label: string;
  readonly aside?: ReactNode;
  readonly help?: ReactNode;
  readonly problem?: string | null;
  readonly className?: string;
  /** Draws the control with the ids that tie it to its label, help and problem. */
  children(control: {
    id: string;
    'aria-describedby': string | undefined;
    'aria-invalid': boolean | undefined;
  }): ReactNode;
}

/** A labelled control with its help and, when something is wrong, what. */
export function Field({ label, aside, help, problem, className = 'field', children }: Props) {
  const id = useId();
  const described = [help && `${id}-help`, problem && `${id}-problem`].filter(Boolean).join(' ');
  return (
    <div className={className}>
      <span className="label">
        <label htmlFor={id}>{label}</label>
        {aside && <span className="aside">{aside}</span>}
      </span>
      {children({ id, 'aria-describedby': described || undefined, 'aria-invalid': problem ? true : undefined })}
      {problem && (
        <span className="problem" id={`${id}-problem`}>
          {problem}
        </span>
      )}
      {help && (
        <span className="help" id={`${id}-help`}>
          {help}
        </span>
      )}
    </div>
  );
}
