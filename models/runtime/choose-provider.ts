import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { writeFileAtomic } from '#models/files.ts';
import { userDataFolder } from '#models/user-data-folder.ts';
import { deviceKey } from './device-key.ts';
import { compareOutputs, runTrial, type TrialGraph, type TrialOptions, type TrialRun } from './graph-trial.ts';
import type { Provider } from './session.ts';

/** What one provider did with a graph, against the CPU. */
const providerTrial = z.object({
  provider: z.enum(['cpu', 'webgpu', 'cuda', 'dml', 'coreml']),
  /** It ran, and its results are the CPU's but for rounding. */
  trusted: z.boolean(),
  /** Why it is not trusted; empty when it is. */
  reason: z.string(),
  /** One run after the first; null when it did not run. */
  seconds: z.number().nullable(),
  /** Opening the graph and the first run, which compiles kernels; null when it did not run. */
  startSeconds: z.number().nullable(),
  /** Largest relative error of an output (`compareOutputs`); null when it did not run. */
  agreement: z.number().nullable(),
  /** The output with that error. */
  worst: z.string(),
  /** Operators that it left to the CPU: each costs two copies over the bus. */
  leftToCpu: z.array(z.object({ opType: z.string(), count: z.number(), nodes: z.array(z.string()) })),
  /** Most memory that the process held, on the host; null when it is not known. */
  peakBytes: z.number().nullable().default(null),
  measuredAt: z.string(),
});
export type ProviderTrial = z.infer<typeof providerTrial>;

export interface TrustOptions extends TrialOptions {
  /** Where measurements are kept; null keeps none. Default: the user's data folder. */
  readonly cacheFolder?: string | null | undefined;
  /** Measures again what is kept already. */
  readonly fresh?: boolean | undefined;
  /** Largest relative error of an output that still counts as the same computation. */
  readonly tolerance?: number | undefined;
}

/** The providers that the runtime may have on a system; whether one is there and works is found by trying. */
export function candidateProviders(platform: NodeJS.Platform = process.platform, cpu = process.arch): Provider[] {
  if (platform === 'darwin') return ['cpu', 'coreml', 'webgpu'];
  if (platform === 'win32') return ['cpu', 'dml', 'webgpu'];
  return cpu === 'x64' ? ['cpu', 'webgpu', 'cuda'] : ['cpu'];
}

/**
 * Half precision inside a provider (CoreML's network format, TF32 products) keeps about 10⁻³, and sums of it a little less;
 * a wrong kernel is off by 1.
 */
const TOLERANCE = 1e-2;
/** A GPU must be this much faster to be worth giving up equal bytes from run to run. */
const WORTH = 0.9;
/** What failed may have failed for want of memory or time, and is tried again after a day. */
const TRUSTED_DAYS = 30;
const REFUSED_DAYS = 1;
const DAY_MS = 86_400_000;

/**
 * Whether a provider may run a graph here: runs it with the same feeds on the CPU and there, each in a throw-away process,
 * and compares every output. Kept per runtime, provider, device with its driver, and graph.
 * @param reference the CPU's run when it is there already.
 */
export async function trustProvider(
  provider: Provider,
  graph: TrialGraph,
  options: TrustOptions = {},
  reference?: () => Promise<TrialRun>,
): Promise<ProviderTrial> {
  const file = cacheFile(provider, graph, options);
  const kept = file === null || options.fresh ? null : readTrial(file);
  if (kept) return kept;
  const cpu = await (reference ?? (() => runTrial('cpu', graph, options)))();
  const run = provider === 'cpu' ? cpu : await runTrial(provider, graph, options);
  const trial = judge(provider, run, cpu, options.tolerance ?? TOLERANCE);
  if (file !== null) keep(file, trial);
  return trial;
}

function judge(provider: Provider, run: TrialRun, cpu: TrialRun, tolerance: number): ProviderTrial {
  const unmeasured = { seconds: null, startSeconds: null, agreement: null, worst: '', leftToCpu: [], peakBytes: null };
  const measuredAt = new Date().toISOString();
  if ('reason' in run) {
    return { provider, trusted: false, reason: run.reason.trim(), ...unmeasured, measuredAt };
  }
  const measured = {
    seconds: run.seconds,
    startSeconds: run.loadSeconds + run.firstSeconds,
    leftToCpu: run.leftToCpu.map((l) => ({ ...l, nodes: [...l.nodes] })),
    peakBytes: run.peakBytes ?? null,
    measuredAt,
  };
  if ('reason' in cpu) {
    const reason = `The CPU gave nothing to compare with: ${cpu.reason.trim()}`;
    return { provider, trusted: false, reason, ...unmeasured, ...measured };
  }
  const { agreement, worst } = compareOutputs(run.outputs, cpu.outputs);
  // JSON knows no infinity.
  const counted = Math.min(agreement, Number.MAX_VALUE);
  const trusted = agreement <= tolerance;
  const reason = trusted
    ? ''
    : `It runs, but "${worst}" differs from the CPU's by ${agreement.toPrecision(2)} of its norm.`;
  return { provider, trusted, reason, agreement: counted, worst, ...measured };
}

export interface ProviderChoice {
  readonly provider: Provider;
  /** Measured time of one run; null when nothing needed measuring. */
  readonly seconds: number | null;
  readonly agreement: number | null;
  /** What speaks for it, in a sentence. */
  readonly because: string;
  /** The providers that were not chosen, each with why. */
  readonly others: readonly { readonly provider: Provider; readonly why: string }[];
  /** Everything measured for the choice. */
  readonly trials: readonly ProviderTrial[];
}

export interface ChooseOptions extends TrustOptions {
  /** Default: what the runtime may have on this system. */
  readonly candidates?: readonly Provider[];
}

/**
 * What shall run a graph. `cpu` is taken as it is; another name is taken when it agrees with the CPU; `auto` takes the
 * fastest one that does, by measured seconds, and the CPU when nothing is at least a tenth faster.
 * @throws {NorthlightError} `provider/refused` when the provider asked for cannot be trusted with the graph.
 */
export async function chooseProvider(
  wanted: Provider | 'auto',
  graph: TrialGraph,
  options: ChooseOptions = {},
): Promise<ProviderChoice> {
  if (wanted === 'cpu') {
    return { provider: 'cpu', seconds: null, agreement: 0, because: 'It was asked for.', others: [], trials: [] };
  }
  const candidates = wanted === 'auto' ? (options.candidates ?? candidateProviders()) : [wanted];
  let shared: Promise<TrialRun> | undefined;
  const reference = () => {
    shared ??= runTrial('cpu', graph, options);
    return shared;
  };
  const trials: ProviderTrial[] = [];
  // One after another: two at once would share the device and spoil each other's time.
  for (const provider of candidates) trials.push(await trustProvider(provider, graph, options, reference));
  if (wanted !== 'auto') return takeWanted(trials[0]!);
  return takeFastest(trials);
}

/**
 * What `chooseProvider` would take by measurements that are kept already; nothing is run.
 * @returns null when less than two providers were measured, so that there is nothing to choose from.
 */
export function rememberedChoice(graph: TrialGraph, options: ChooseOptions = {}): ProviderChoice | null {
  const files = (options.candidates ?? candidateProviders()).map((provider) => cacheFile(provider, graph, options));
  const trials = files.map((file) => (file === null ? null : readTrial(file))).filter((trial) => trial !== null);
  return trials.length < 2 ? null : takeFastest(trials);
}

function takeWanted(trial: ProviderTrial): ProviderChoice {
  if (!trial.trusted) {
    throw new NorthlightError(
      'provider/refused',
      `${trial.provider} cannot be trusted with this graph: ${trial.reason}`,
      'Use --provider cpu, or --provider auto to take what works.',
    );
  }
  const { provider, seconds, agreement } = trial;
  return {
    provider,
    seconds,
    agreement,
    because: 'It was asked for, and agrees with the CPU.',
    others: [],
    trials: [trial],
  };
}

function takeFastest(trials: readonly ProviderTrial[]): ProviderChoice {
  const cpu = trials.find((t) => t.provider === 'cpu');
  const usable = trials.filter((t) => t.trusted && t.seconds !== null);
  const fastest = usable.toSorted((a, b) => a.seconds! - b.seconds!)[0];
  const chosen = fastest && (!cpu?.trusted || fastest.seconds! <= WORTH * cpu.seconds!) ? fastest : (cpu ?? fastest);
  // Without a CPU that runs the graph nothing is trusted either: the CPU then says itself what is wrong.
  if (!chosen) {
    return { provider: 'cpu', seconds: null, agreement: null, because: 'Nothing else was tried.', others: [], trials };
  }
  const others = trials.filter((t) => t !== chosen).map((t) => ({ provider: t.provider, why: whyNot(t, chosen) }));
  const because =
    usable.length > 1
      ? `${seconds(chosen.seconds!)} a run${chosen === fastest ? ', the fastest that agrees with the CPU' : ', and equal bytes each time'}.`
      : 'Nothing else can run this graph here.';
  const { provider, agreement } = chosen;
  return { provider, seconds: chosen.seconds, agreement, because, others, trials };
}

function whyNot(trial: ProviderTrial, chosen: ProviderTrial): string {
  if (!trial.trusted) return trial.reason;
  const time = `${seconds(trial.seconds!)} a run against ${seconds(chosen.seconds!)}`;
  return trial.leftToCpu.length === 0 ? `${time}.` : `${time}; it leaves ${leftText(trial)} to the CPU.`;
}

const seconds = (s: number) => (s < 1 ? `${(s * 1000).toPrecision(3)} ms` : `${s.toPrecision(3)} s`);
const leftText = ({ leftToCpu }: ProviderTrial) => leftToCpu.map((l) => `${l.opType} (${l.count})`).join(', ');

function cacheFile(provider: Provider, graph: TrialGraph, options: TrustOptions): string | null {
  const folder = options.cacheFolder === undefined ? join(userDataFolder(), 'providers') : options.cacheFolder;
  if (folder === null) return null;
  const key = createHash('sha256').update(graph.file?.identity ?? graph.bytes);
  const shapes = Object.entries(graph.feeds).map(([name, t]) => [name, t.dtype, t.dims]);
  key.update(
    JSON.stringify([
      deviceKey(),
      provider,
      shapes,
      graph.fetches ?? null,
      graph.threads ?? null,
      graph.training ?? false,
    ]),
  );
  key.update(String(options.tolerance ?? TOLERANCE));
  return join(folder, `${key.digest('hex')}.json`);
}

function readTrial(file: string): ProviderTrial | null {
  try {
    const trial = providerTrial.parse(JSON.parse(readFileSync(file, 'utf8')));
    const days = (Date.now() - Date.parse(trial.measuredAt)) / DAY_MS;
    return days >= 0 && days < (trial.trusted ? TRUSTED_DAYS : REFUSED_DAYS) ? trial : null;
  } catch {
    // Not there, or not readable: it is measured again.
    return null;
  }
}

function keep(file: string, trial: ProviderTrial): void {
  try {
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileAtomic(file, `${JSON.stringify(trial, null, 2)}\n`);
  } catch {
    // A folder that cannot be written only means that it is measured again next time.
  }
}
