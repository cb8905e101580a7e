import type { ReactNode } from 'react';

interface Props {
  readonly icon?: ReactNode;
  readonly title: string;
  readonly children?: ReactNode;
  /** What to do, in order. */
  readonly steps?: readonly string[];
  readonly action?: ReactNode;
}

/** Says what is missing and offers the one thing to do about it. */
export function EmptyState({ icon, title, children, steps, action }: Props) {
  return (
    <div className="empty" data-testid="empty-state">
      {icon && <span className="art">{icon}</span>}
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {steps && (
        <ol>
          {steps.map((step, i) => (
            <li key={step}>
              <span className="n" aria-hidden>
                {i + 1}
              </span>
              {step}
            </li>
          ))}
        </ol>
      )}
      {action}
    </div>
  );
}
