import type { ButtonHTMLAttributes, ReactNode } from 'react';
import { Kbd } from './kbd.tsx';

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly look?: 'primary' | 'plain' | 'danger' | undefined;
  readonly size?: 'small';
  readonly wide?: boolean;
  readonly iconOnly?: boolean;
  /** Chord printed on the button. The shortcut itself is registered by the place that shows it. */
  readonly shortcut?: string;
  readonly busy?: boolean;
  readonly children?: ReactNode;
}

export function Button({ look, size, wide, iconOnly, shortcut, busy, className, children, disabled, ...rest }: Props) {
  const classes = ['button', look, size, wide && 'wide', iconOnly && 'icon-only', className].filter(Boolean).join(' ');
  return (
    <button
      type="button"
      {...rest}
      className={classes}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
      aria-keyshortcuts={shortcut?.replace('Ctrl', 'Control')}
    >
      {children}
      {shortcut && <Kbd chord={shortcut} silent />}
    </button>
  );
}
