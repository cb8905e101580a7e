/** What the desktop's preload offers beyond the engine's port. All of it is absent in a browser. */
interface DesktopBridge {
  /** Path of a dropped file or folder. */
  pathForFile?(file: File): string;
  /** Opens the system's folder chooser; null when it was closed. */
  chooseFolder?(): Promise<string | null>;
}

declare global {
  interface Window {
    northlight?: DesktopBridge;
  }
}

export const desktop = (): DesktopBridge => (typeof window === 'undefined' ? {} : (window.northlight ?? {}));

/** Address of a picture. Absolute from the root of the page's own origin, in the browser and in the desktop app alike. */
export const pictureUrl = (hash: string): string => `/blob/${hash}`;

/** Address of its thumbnail, at most 256 × 256. */
export const thumbnailUrl = (hash: string): string => `/thumb/${hash}`;
