import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { bundledModelsFolder } from '#pipelines/cli/bundled.ts';
import { type Calls, countingGradients } from './methods/calls.ts';
import { METHODS, type Method } from './methods/list.ts';
import { hasPart, type Part, type PartName, readParts, refuseOthers, writePart } from './methods/records.ts';
import { type OpenSubject, SUBJECTS, type Subject } from './methods/subjects.ts';
import { legend, rowsOf, tableOf } from './methods/table.ts';
import { valueNetworkNote, valueNetworkOf } from './methods/values.ts';

export const options = z.strictObject({
  out: z.string().min(1).describe('folder of the parts: what is there is not made again'),
  samples: z.int().min(1).default(512).describe('samples of each method and seed'),
  seeds: z.int().min(1).default(3).describe('seeds 1, 2, …'),
  budget: z.int().min(2).default(4).describe('denoiser calls of a sample, as a multiple of plain sampling'),
  part: z.int().min(1).default(64).describe('samples of a part: what a stop may lose'),
  only: z
    .string()
    .default('')
    .describe('subjects or methods or subject/method, joined by +: flora/smc+enhancer-dna; all where empty'),
  draw: z.boolean().default(true).describe('false: only the table of what is there'),
  models: z.string().min(1).default(bundledModelsFolder).describe('folder of the models'),
  threads: z.int().min(1).default(availableParallelism()).describe('threads per network'),
});

/** Hours where nobody stops it: run by name only. */
export const long = true;

/**
 * Methods of steering at equal denoiser calls, from parts on disk: a run that was stopped goes on where it was.
 * @throws {NorthlightError} `bench/only`, `bench/settings`, `bench/part`.
 */
export async function measure(given: z.input<typeof options>): Promise<{ text: string; missing: string[] }> {
  const o = options.parse(given);
  const jobs = jobsOf(o.only);
  mkdirSync(o.out, { recursive: true });
  const before = readParts(o.out);
  const missing = new Set<string>();
  if (o.draw) {
    for (const [subject, own] of Map.groupBy(jobs, (job) => job.subject)) {
      const methods = own.map((job) => job.method);
      await drawSubject(subject, methods, o, before, missing);
    }
  }
  const parts = readParts(o.out);
  const tables = SUBJECTS.flatMap((subject) => {
    const rows = rowsOf(subject, parts);
    return rows.length === 0 ? [] : [tableOf(subject, rows, o.budget)];
  });
  const left = jobs.flatMap((job) => leftOf(job, o, parts));
  const networks = SUBJECTS.flatMap((subject) => valueNetworkNote(o.out, subject) ?? []);
  const notes = [...networks, ...[...missing].map((m) => `Missing: ${m}`), ...left];
  return { text: [legend(o.budget), ...tables, notes.join('\n')].join('\n\n'), missing: [...missing] };
}

/** What is still to be made, with the hours that it would take at the pace of what was. */
function leftOf({ subject, method }: Job, o: Options, parts: readonly Part[]): string[] {
  const own = parts.filter((p) => p.subject === subject.name && p.method === method.name);
  const made = own.reduce((n, p) => n + p.samples.length, 0);
  const left = o.seeds * o.samples - made;
  if (made === 0 || left <= 0) return [];
  const each = own.reduce((sum, { seconds }) => sum + seconds.sampling + seconds.measuring, 0) / made;
  return [`Left of ${subject.name}/${method.name}: ${left} samples, about ${((left * each) / 3600).toFixed(2)} h.`];
}

type Options = z.output<typeof options>;

interface Job {
  readonly subject: Subject;
  readonly method: Method;
}

function jobsOf(only: string): Job[] {
  const wanted = only === '' ? [] : only.split('+');
  const all = SUBJECTS.flatMap((subject) => METHODS.map((method): Job => ({ subject, method })));
  const namesOf = ({ subject: { name }, method }: Job) => {
    const model = name.split('/')[0]!;
    return [name, model, method.name, `${name}/${method.name}`, `${model}/${method.name}`];
  };
  const unknown = wanted.find((name) => !all.some((job) => namesOf(job).includes(name)));
  if (unknown !== undefined) {
    throw new NorthlightError(
      'bench/only',
      `There is no subject or method "${unknown}".`,
      `Subjects: ${SUBJECTS.map((s) => s.name).join(', ')}; methods: ${METHODS.map((m) => m.name).join(', ')}.`,
    );
  }
  return all.filter((job) => wanted.length === 0 || namesOf(job).some((name) => wanted.includes(name)));
}

/** All methods of one part before the next part: whenever it stops, they have about as many samples each. */
async function drawSubject(
  subject: Subject,
  methods: readonly Method[],
  o: Options,
  before: readonly Part[],
  missing: Set<string>,
): Promise<void> {
  let open: OpenSubject | undefined;
  try {
    for (let seed = 1; seed <= o.seeds; seed++) {
      for (let first = 0; first < o.samples; first += o.part) {
        const count = Math.min(o.part, o.samples - first);
        for (const method of methods) {
          const name: PartName = { subject: subject.name, method: method.name, seed, first, count };
          if (hasPart(o.out, name)) continue;
          open ??= await subject.open(o.models, o.threads);
          const part = await drawPart(subject, open, method, name, o, before, missing);
          if (part !== null) writePart(o.out, name, part);
        }
      }
    }
  } finally {
    await open?.close();
  }
}

async function drawPart(
  subject: Subject,
  open: OpenSubject,
  method: Method,
  { seed, first, count }: PartName,
  o: Options,
  before: readonly Part[],
  missing: Set<string>,
): Promise<Part | null> {
  if (method.needs === 'gradient' && !open.hasGradient) {
    missing.add(`${subject.name}/${method.name}: no gradient of this reward is known.`);
    return null;
  }
  const network = method.needs === 'network' ? await valueNetworkOf(o.out, subject, open, o.threads) : '';
  const { budget } = o;
  const { alpha, spread, steps } = subject;
  const steering = method.steering({ budget, alpha, spread, network });
  // Where the network lies does not matter, and may change.
  const { value: _, ...asked } = { value: null, ...steering?.options };
  const made = { steps, budget, ...(method.needs === 'network' ? asked : steering?.options) };
  refuseOthers(o.out, before, subject.name, method.name, made);
  const calls: Calls = { denoiser: 0, reward: 0, value: 0, gradient: 0 };
  const watched = steering && countingGradients(steering, calls);
  const drawn = await open.draw(watched, seed, first, count, calls);
  calls.value = steering?.valueCalls?.count ?? 0;
  const started = performance.now();
  const samples = await drawn.examine();
  const seconds = { sampling: drawn.seconds, measuring: (performance.now() - started) / 1000 };
  process.stderr.write(
    `${subject.name}/${method.name} seed ${seed}: ${first + count} of ${o.samples}, ${seconds.sampling.toFixed(1)} + ${seconds.measuring.toFixed(1)} s\n`,
  );
  return { subject: subject.name, method: method.name, seed, made, samples, calls, seconds };
}
