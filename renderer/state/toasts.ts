import { create } from 'zustand';

export interface Toast {
  readonly id: number;
  readonly text: string;
  readonly tone: 'plain' | 'bad';
}

export const useToasts = create<{ toasts: Toast[] }>(() => ({ toasts: [] }));

let next = 1;

export const dismiss = (id: number) =>
  useToasts.setState((s) => ({ toasts: s.toasts.filter((toast) => toast.id !== id) }));

/** A short note that goes by itself. Never the only place where an error is told. */
export function say(text: string, tone: Toast['tone'] = 'plain'): void {
  const id = next++;
  useToasts.setState((s) => ({ toasts: [...s.toasts.slice(-2), { id, text, tone }] }));
  setTimeout(() => dismiss(id), 5000);
}
