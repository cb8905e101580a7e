/** Time left in words a person would use: "under 5 s", "40 s", "3 min", "1 h 20 min". */
export function formatDuration(seconds: number): string {
  if (seconds < 5) return 'under 5 s';
  if (seconds < 55) return `${Math.round(seconds / 5) * 5} s`;
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  return rest === 0 ? `${hours} h` : `${hours} h ${rest} min`;
}

/** A measured value, short enough for an axis: three significant digits, exponent only where it saves space. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'not a number' : value > 0 ? '∞' : '−∞';
  const size = Math.abs(value);
  const text =
    value === 0
      ? '0'
      : size >= 1e6 || size < 1e-3
        ? value.toExponential(1).replace('e+', 'e')
        : String(Number(value.toPrecision(3)));
  return text.replace(/-/g, '−');
}

/** A mean of values that lie within `scale`: one that is 0 but for rounding is 0. */
export const formatMean = (value: number, scale: number): string =>
  formatNumber(Math.abs(value) < 1e-4 * scale ? 0 : value);

/** A share as a whole percentage, "62%"; never rounds an unfinished share up to all or down to none. */
export function formatPercent(share: number): string {
  const percent = Math.round(share * 100);
  if (percent === 100 && share < 1) return '99%';
  if (percent === 0 && share > 0) return '1%';
  return `${percent}%`;
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : Number(value.toPrecision(2))} ${units[unit]}`;
}

/** Parameters of a model: "860 M", "3.2 M", "12 k". */
export function formatCount(count: number): string {
  for (const [size, unit] of [
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (count >= size) {
      const value = count / size;
      return `${value >= 100 ? Math.round(value) : Number(value.toPrecision(2))} ${unit}`;
    }
  }
  return String(count);
}

/** "today 14:05", "12 Mar 09:30". */
export function formatWhen(iso: string, now: Date = new Date()): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const time = date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  if (date.toDateString() === now.toDateString()) return `today ${time}`;
  return `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${time}`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
