import type { Output } from '#pipelines/engine/contract.ts';
import type { Point } from './chart.ts';

type MetricPoint = Output<'runs.show'>['metrics'][number];

export interface Measure {
  readonly key: string;
  readonly title: string;
  readonly help: string;
  /** Draw as a share, 0 to 100%. */
  readonly share: boolean;
}

/** The three lines that say how a run goes, in plain words, with the names that algorithms log them under. */
const MAIN: readonly (Omit<Measure, 'key'> & { readonly names: readonly string[] })[] = [
  {
    names: ['pairAccuracy', 'implicitAccuracy', 'orderedShare', 'accuracy'],
    title: 'Pairs ordered your way',
    help: 'Share of your choices where the tuned model now prefers the picture you preferred. 50% is a coin toss.',
    share: true,
  },
  {
    names: ['loss'],
    title: 'Loss',
    help: 'What tuning minimises. Noisy by nature; watch the smooth line.',
    share: false,
  },
  {
    names: ['klToBase', 'kl', 'approxKl'],
    title: 'Distance from the base',
    help: 'How far the model has moved (KL divergence, nats). When it runs away, pictures lose variety: stop and keep earlier.',
    share: false,
  },
];

/** The measures present in these points: the main three first, the rest under their own names. */
export function measures(points: readonly MetricPoint[]): { main: Measure[]; rest: Measure[] } {
  const keys = [...new Set(points.flatMap((point) => Object.keys(point.values)))];
  const main: Measure[] = [];
  for (const { names, ...measure } of MAIN) {
    const key = names.find((name) => keys.includes(name));
    if (key !== undefined) main.push({ key, ...measure });
  }
  const used = new Set(main.map((measure) => measure.key));
  const rest = keys
    .filter((key) => !used.has(key))
    .sort()
    .map((key) => ({ key, title: key, help: '', share: /accuracy|share|fraction/i.test(key) }));
  return { main, rest };
}

export function series(points: readonly MetricPoint[], key: string): Point[] {
  return points.flatMap((point) => {
    const y = point.values[key];
    return y === undefined ? [] : [{ x: point.step, y }];
  });
}

/** Adds a point; a step that was there already (a resumed run repeats its last steps) is replaced. Steps stay ascending. */
export function withPoint(points: readonly MetricPoint[], point: MetricPoint): MetricPoint[] {
  const last = points.at(-1);
  if (!last || point.step > last.step) return [...points, point];
  return [...points.filter((p) => p.step < point.step), point];
}
