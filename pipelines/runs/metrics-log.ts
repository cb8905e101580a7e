import { closeSync, fsyncSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { fileError, writeFileAtomic, writeFully } from '#models/files.ts';

const point = z.object({ step: z.number().int(), values: z.record(z.string(), z.number()) });
/** The metrics of one update. */
export type MetricPoint = z.output<typeof point>;

/** Appends to `metrics.jsonl`. A value that is not finite is left out: JSON has no word for it. */
export interface MetricsLog {
  append(metric: MetricPoint): void;
  close(): void;
}

export function metricsPath(runDirectory: string): string {
  return join(runDirectory, 'metrics.jsonl');
}

/**
 * Opens the log of a run. What a crash left unfinished at its end is cut off, and with `fromStep` everything at or after
 * that step too: a resumed run writes those steps again.
 */
export function openMetricsLog(runDirectory: string, fromStep = Number.POSITIVE_INFINITY): MetricsLog {
  const path = metricsPath(runDirectory);
  const text = readText(path);
  const kept = parse(text).filter((metric) => metric.step < fromStep);
  const wanted = kept.map((metric) => `${JSON.stringify(metric)}\n`).join('');
  if (wanted !== text) writeFileAtomic(path, wanted);
  let fd: number;
  try {
    fd = openSync(path, 'a');
  } catch (error) {
    throw fileError(error, path, 'write');
  }
  return {
    append: ({ step, values }) => {
      const finite = Object.fromEntries(Object.entries(values).filter(([, value]) => Number.isFinite(value)));
      writeFully(fd, Buffer.from(`${JSON.stringify({ step, values: finite })}\n`), path);
    },
    close: () => {
      fsyncSync(fd);
      closeSync(fd);
    },
  };
}

/** All complete lines of a run's log; none when there is no log yet. */
export function readMetrics(runDirectory: string): MetricPoint[] {
  return parse(readText(metricsPath(runDirectory)));
}

/** Lines up to the first that is not a metric: after a crash only the last line can be cut short. */
function parse(text: string): MetricPoint[] {
  const points: MetricPoint[] = [];
  for (const line of text.split('\n').slice(0, -1)) {
    const parsed = parseLine(line);
    if (parsed === null) break;
    points.push(parsed);
  }
  return points;
}

function parseLine(line: string): MetricPoint | null {
  try {
    return point.parse(JSON.parse(line));
  } catch {
    return null;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw fileError(error, path, 'read');
  }
}
