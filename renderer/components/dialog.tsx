import { type ReactNode, useEffect, useId, useRef } from 'react';
import { Button } from './button.tsx';
import { Icon } from './icon.tsx';

interface Props {
  readonly title: string;
  close(): void;
  readonly children: ReactNode;
  readonly testId?: string;
}

/** A modal dialog: keeps focus inside, Escape and the backdrop close it, focus returns to where it was. */
export function Dialog({ title, close, children, testId }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape is the keyboard's way out, and the dialog handles it itself.
    <dialog
      ref={ref}
      className="dialog"
      aria-labelledby={id}
      data-testid={testId}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClick={(event) => {
        if (event.target === ref.current) close();
      }}
    >
      <div className="head">
        <h2 id={id} className="cut">
          {title}
        </h2>
        <Button look="plain" iconOnly aria-label="Close" onClick={close}>
          <Icon name="close" />
        </Button>
      </div>
      <div className="body">{children}</div>
    </dialog>
  );
}
