import type { ModelReport } from '#models/families/index.ts';

export type { ModelReport };

/** Bytes as `3.4 GB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** A model's report in a few lines. */
export function describeModel(report: ModelReport): string {
  const lines = [
    `${report.name} · ${report.family} · ${report.usable ? 'ready' : 'cannot run'}`,
    `  ${report.width > 0 ? `${report.width} × ${report.height}, ` : ''}predicts ${report.predictionType}, ` +
      `${report.parameters.toLocaleString('en')} parameters, ${formatBytes(report.sizeBytes)}`,
  ];
  if (report.description !== '') lines.push(`  ${report.description}`);
  for (const component of report.components) {
    lines.push(`  ${typeof component === 'string' ? component : JSON.stringify(component)}`);
  }
  for (const problem of report.problems) lines.push(`  ! ${problem.message} ${problem.hint}`.trimEnd());
  if (report.hash !== '') lines.push(`  sha256 ${report.hash}`);
  return lines.join('\n');
}
