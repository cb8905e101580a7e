import { dismiss, useToasts } from '#renderer/state/toasts.ts';
import { Button } from './button.tsx';
import { Icon } from './icon.tsx';

export function Toasts() {
  const toasts = useToasts((s) => s.toasts);
  return (
    <div className="toasts" aria-live="polite">
      {toasts.map((toast) => (
        <div key={toast.id} className={`toast ${toast.tone}`}>
          <span className="grow">{toast.text}</span>
          <Button look="plain" size="small" iconOnly aria-label="Dismiss" onClick={() => dismiss(toast.id)}>
            <Icon name="close" size={14} />
          </Button>
        </div>
      ))}
    </div>
  );
}
