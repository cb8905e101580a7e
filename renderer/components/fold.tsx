import type { ReactNode } from 'react';

/** Details that most people do not need at first. */
export function Fold({ title, children, testId }: { title: string; children: ReactNode; testId?: string }) {
  return (
    <details className="fold" data-testid={testId}>
      <summary>{title}</summary>
      <div className="inside stack">{children}</div>
    </details>
  );
}
