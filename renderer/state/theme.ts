import { create } from 'zustand';
import { recall, remember } from './memory.ts';

export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const remembered = (): Theme => themes.find((theme) => theme === recall('theme')) ?? 'system';

export const useTheme = create<{ theme: Theme }>(() => ({ theme: remembered() }));

export function applyTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function setTheme(theme: Theme): void {
  remember('theme', theme);
  useTheme.setState({ theme });
  applyTheme(theme);
}
