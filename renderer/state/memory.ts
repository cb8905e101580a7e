/** Small things remembered on this computer between visits. A store that is full or forbidden only forgets. */
export function recall(key: string): string | null {
  try {
    return localStorage.getItem(`northlight.${key}`);
  } catch {
    return null;
  }
}

/** The object that was remembered as JSON; empty where there is none. */
export function recallObject(key: string): object {
  try {
    const saved: unknown = JSON.parse(recall(key) ?? '{}');
    return typeof saved === 'object' && saved !== null ? saved : {};
  } catch {
    return {};
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`northlight.${key}`, value);
  } catch {
    // Remembering is a courtesy.
  }
}
