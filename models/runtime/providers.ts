import { fork } from 'node:child_process';
import { z } from 'zod';
import type { Provider } from './session.ts';
import { listBackends } from './session.ts';

/** What one execution provider does on this machine, measured and not asked. */
export interface ProviderReport {
  readonly provider: Provider;
  readonly usable: boolean;
  /** Why it is not usable; empty when it is. */
  readonly reason: string;
  /** One run of the probe's matrix product after a warm-up; null when it did not run. */
  readonly seconds: number | null;
  /** Largest difference from the CPU, relative to the largest element of its result; null when it did not run. */
  readonly agreement: number | null;
}

/** A provider that differs from the CPU by more than this computes something else: half precision keeps about 10⁻³. */
const WORST_AGREEMENT = 1e-2;

const PROBE = new URL('./probe-provider.ts', import.meta.url);

const ProbeMessage = z.union([
  z.object({ seconds: z.number(), result: z.array(z.number()) }),
  z.object({ reason: z.string() }),
]);
type ProbeResult = z.infer<typeof ProbeMessage>;

/**
 * Tries every execution provider that the runtime lists with a small matrix product, each in a process of its own: a
 * driver that aborts or hangs takes only that process with it. The CPU comes first and is what the others are compared with.
 * @param options.timeoutMs how long one provider may take, its start included.
 * @param options.probe the file that a probe process runs; another one only in tests.
 */
export async function listProviders(
  options: { timeoutMs?: number; probe?: URL; providers?: readonly Provider[] } = {},
): Promise<ProviderReport[]> {
  const { timeoutMs = 60_000, probe = PROBE } = options;
  const listed = options.providers ?? listBackends();
  const others = listed.filter((p) => p !== 'cpu');
  const cpu = await probeProvider('cpu', probe, timeoutMs);
  const reports = [report('cpu', cpu, cpu)];
  // One after another: two at once would share the device and spoil each other's time.
  for (const provider of others) reports.push(report(provider, await probeProvider(provider, probe, timeoutMs), cpu));
  return reports;
}

function report(provider: Provider, measured: ProbeResult, cpu: ProbeResult): ProviderReport {
  if ('reason' in measured) return { provider, usable: false, reason: measured.reason, seconds: null, agreement: null };
  const { seconds, result } = measured;
  if ('reason' in cpu)
    return { provider, usable: false, reason: 'The CPU gave nothing to compare with.', seconds, agreement: null };
  const scale = Math.max(...cpu.result.map(Math.abs));
  const agreement =
    result.length === cpu.result.length
      ? Math.max(...result.map((v, i) => Math.abs(v - cpu.result[i]!))) / scale
      : Number.POSITIVE_INFINITY;
  // Written so that a NaN counts as wrong.
  const agrees = agreement <= WORST_AGREEMENT;
  const reason = agrees ? '' : `It runs, but its results differ from the CPU's by ${agreement.toPrecision(2)}.`;
  return { provider, usable: agrees, reason, seconds, agreement };
}

function probeProvider(provider: Provider, probe: URL, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    // A bundle carries the probe as JavaScript; from source, Node strips the types itself. Inherited flags (a debugger's
    // port, a test runner's hooks) are not for it.
    const child = fork(probe, [provider], { execArgv: [], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    let answer: ProbeResult | undefined;
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.on('message', (message) => {
      const parsed = ProbeMessage.safeParse(message);
      answer = parsed.success ? parsed.data : { reason: 'The probe answered nonsense.' };
    });
    child.on('error', (error) => {
      answer ??= { reason: `The probe could not start: ${error.message}` };
      clearTimeout(timer);
      resolve(answer);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (timedOut && !answer) answer = { reason: `No answer within ${timeoutMs / 1000} s.` };
      resolve(answer ?? { reason: `The driver ended the process (${signal ?? `exit code ${code}`}).` });
    });
  });
}
