/** Small things remembered on this computer between visits. A store that is full or forbidden only forgets. */
export function recall(key: string): string | null {
  try {
    return localStorage.getItem(`northlight.${key}`);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`northlight.${key}`, value);
  } catch {
    // Remembering is a courtesy.
  }
}
