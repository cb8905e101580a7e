import type { ReactNode } from 'react';
import { Icon } from './icon.tsx';

export interface Line {
  readonly id: string;
  readonly title: string;
  /** Smaller, under the title. */
  readonly detail: string;
  /** A badge or figure at the right end. */
  readonly end: ReactNode;
  readonly open: () => void;
}

/** Things with a page of their own, one per line; each line opens its page. */
export function LineList({ lines, testId }: { lines: readonly Line[]; testId: string }) {
  return (
    <ul className="stack tight">
      {lines.map((line) => (
        <li key={line.id}>
          <button type="button" className="line-button" data-testid={testId} onClick={line.open}>
            <span className="grow">
              <strong>{line.title}</strong>
              <span className="small quiet">{line.detail}</span>
            </span>
            {line.end}
            <Icon name="right" size={16} />
          </button>
        </li>
      ))}
    </ul>
  );
}
