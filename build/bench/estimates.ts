import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { COMPUTE_ENVIRONMENT } from '#models/runtime/training-options.ts';
import type { MachineRates } from '#models/training/estimate.ts';
import { measureRates } from '#models/training/machine-rates.ts';
import type { EstimateAnswer, EstimateCase, EstimateRequest } from './lib/estimate-process.ts';
import { type Factors, fitFactors, type Sample, scaled } from './lib/fit-rates.ts';
import { quantile } from './lib/measure.ts';

const PROCESS = fileURLToPath(new URL('./lib/estimate-process.ts', import.meta.url));
const flat = { kind: 'flat' } as const;
const segments = (n: number) => ({ kind: 'checkpoint', segments: n }) as const;

/** The first two networks were looked at while the estimate was made; the others were not. */
const CASES: readonly EstimateCase[] = [
  { network: 'flora', kind: 'lora', batch: 16, memory: flat },
  { network: 'flora', kind: 'full', batch: 16, memory: flat },
  { network: 'unet', kind: 'lora', batch: 4, memory: flat },
  { network: 'unet', kind: 'full', batch: 4, memory: flat },
  { network: 'unet', kind: 'lora', batch: 4, memory: segments(8) },
  { network: 'wide-unet', kind: 'lora', batch: 6, memory: flat },
  { network: 'wide-unet', kind: 'full', batch: 3, memory: flat },
  { network: 'wide-unet', kind: 'lora', batch: 6, memory: segments(4) },
  { network: 'dit', kind: 'lora', batch: 4, memory: flat },
  { network: 'dit', kind: 'full', batch: 4, memory: flat },
  { network: 'dit', kind: 'full', batch: 4, memory: segments(4) },
  { network: 'long-dit', kind: 'lora', batch: 2, memory: flat },
];

const ONES: Factors = { products: 1, convolutions: 1, functions: 1, passes: 1, nodes: 1 };
const RATE_ROUNDS = 5;

/** Estimated ÷ measured. */
interface Row {
  readonly name: string;
  readonly ms: number;
  readonly memory: number;
  /** From the machine's rates alone. */
  readonly time: number;
  /** From a measured forward pass: estimated step ÷ estimated forward, times measured forward. */
  readonly byForward: number;
  /** From the rates, each kind times its factor fitted on the cases of the other half. */
  readonly fitted: number;
}

/** The median of each rate over several measurements. */
function medianRates(all: readonly MachineRates[]): MachineRates {
  const keys = Object.keys(all[0]!) as (keyof MachineRates)[];
  const median = (key: keyof MachineRates) =>
    quantile(
      all.map((r) => r[key]),
      0.5,
    );
  return Object.fromEntries(keys.map((key) => [key, median(key)])) as unknown as MachineRates;
}

/**
 * Time and memory of training steps against what was estimated before; each step in a process of its own, in turn with its
 * network's forward pass. Factors of each kind of work are fitted on every other case and tried on the rest.
 */
export async function measure(options: { threads?: number; rounds?: number; only?: RegExp } = {}) {
  const threads = options.threads ?? availableParallelism();
  const rounds = options.rounds ?? 7;
  const measured: MachineRates[] = [];
  for (let i = 0; i < RATE_ROUNDS; i++) measured.push(await measureRates(threads));
  const rates = medianRates(measured);
  const cases = CASES.filter((c) => !options.only || options.only.test(nameOf(c)));
  const answers: EstimateAnswer[] = [];
  for (const one of cases) {
    const request: EstimateRequest = { ...one, rates, rounds, threads };
    const { stdout } = await promisify(execFile)(process.execPath, [PROCESS, JSON.stringify(request)], {
      env: { ...process.env, ...COMPUTE_ENVIRONMENT },
      maxBuffer: 2 ** 24,
    });
    answers.push(JSON.parse(stdout) as EstimateAnswer);
  }
  const samples: Sample[] = answers.map(({ spent, seconds }) => ({ spent, seconds: quantile(seconds, 0.5) }));
  const halves = [0, 1].map((half) => fitFactors(samples.filter((_, i) => i % 2 === half)));
  const rows: Row[] = answers.map((answer, i) => {
    const { spent, seconds } = samples[i]!;
    const forward = quantile(answer.forwardSeconds, 0.5);
    return {
      name: nameOf(cases[i]!),
      ms: 1000 * seconds,
      memory: answer.estimatedBytes / answer.peakBytes,
      time: scaled(spent, ONES) / seconds,
      byForward: ((scaled(spent, ONES) / scaled(answer.forwardSpent, ONES)) * forward) / seconds,
      fitted: scaled(spent, halves[1 - (i % 2)]!) / seconds,
    };
  });
  const factors = fitFactors(samples);
  return { rates, rows, halves, factors, rounds, threads, text: tableOf(rows, factors, halves) };
}

const nameOf = ({ network, kind, batch, memory }: EstimateCase): string =>
  `${network} ${kind} ${batch}${memory.kind === 'checkpoint' ? ` ${memory.segments} segments` : ''}`;

function tableOf(rows: readonly Row[], factors: Factors, halves: readonly Factors[]): string {
  const range = (of: (row: Row) => number) => {
    const values = rows.map(of);
    return `${Math.min(...values).toFixed(2)}–${Math.max(...values).toFixed(2)}`;
  };
  const told = (f: Factors) =>
    Object.entries(f)
      .map(([kind, factor]) => `${kind} ${factor.toFixed(2)}`)
      .join(', ');
  const line = (name: string, cells: readonly string[]) =>
    `${name.padEnd(26)}${cells.map((c) => c.padStart(12)).join('')}`;
  return [
    'estimated ÷ measured',
    line('', ['ms', 'memory', 'time', 'by forward', 'fitted']),
    ...rows.map((r) =>
      line(r.name, [r.ms.toFixed(0), ...[r.memory, r.time, r.byForward, r.fitted].map((v) => v.toFixed(2))]),
    ),
    line('range', [
      '',
      range((r) => r.memory),
      range((r) => r.time),
      range((r) => r.byForward),
      range((r) => r.fitted),
    ]),
    '',
    `Seconds of each kind times, fitted on all cases: ${told(factors)}`,
    ...halves.map((f, i) => `on ${i === 0 ? 'even' : 'odd'} cases: ${told(f)}`),
  ].join('\n');
}
