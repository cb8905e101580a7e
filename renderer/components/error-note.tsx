import { useState } from 'react';
import { Button } from './button.tsx';

interface Props {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string };
  retry?(): void;
  dismiss?(): void;
}

/** What went wrong and where, what to do next, and the details to pass on. */
export function ErrorNote({ error, retry, dismiss }: Props) {
  const [copied, setCopied] = useState<'no' | 'yes' | 'failed'>('no');
  const details = `${error.code}\n${error.message}\n${error.hint}`;
  const copy = () => {
    navigator.clipboard.writeText(details).then(
      () => setCopied('yes'),
      () => setCopied('failed'),
    );
  };
  return (
    <div className="error-note" role="alert" data-testid="error-note">
      <span className="what">{error.message}</span>
      {error.hint && <span>{error.hint}</span>}
      <div className="actions">
        {retry && (
          <Button size="small" onClick={retry}>
            Try again
          </Button>
        )}
        <Button size="small" look="plain" onClick={copy}>
          {copied === 'yes' ? 'Copied' : copied === 'failed' ? 'Could not copy: select the text' : 'Copy details'}
        </Button>
        {dismiss && (
          <Button size="small" look="plain" onClick={dismiss}>
            Close
          </Button>
        )}
        <span className="mono quiet">{error.code}</span>
      </div>
    </div>
  );
}
