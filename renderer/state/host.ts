import type { DesktopHost } from '#pipelines/engine/contract.ts';

declare global {
  interface Window {
    /** Put there by the desktop app's preload. */
    readonly host?: DesktopHost;
  }
}

/** What the desktop offers beyond the engine's port. All of it is absent in a browser. */
export const desktop = (): Partial<DesktopHost> => (typeof window === 'undefined' ? {} : (window.host ?? {}));

/** Address of a picture. Absolute from the root of the page's own origin, in the browser and in the desktop app alike. */
export const pictureUrl = (hash: string): string => `/blob/${hash}`;

/** Address of its thumbnail, at most 256 × 256. */
export const thumbnailUrl = (hash: string): string => `/thumb/${hash}`;
