import { fork } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { dimsEqual, isFloat, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import type { Provider } from './session.ts';

/** A graph, what it is fed, and how a session of it is opened. */
export interface TrialGraph {
  /** Bytes of a model; weights beside it are found through `folder`. */
  readonly bytes: Uint8Array;
  /**
   * A model on disk in place of `bytes`, so that gigabytes of weights are read by the runtime only. `identity` changes
   * whenever the model does.
   */
  readonly file?: { readonly path: string; readonly identity: string } | undefined;
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly folder?: string | undefined;
  /** Outputs to compare; default: all. */
  readonly fetches?: readonly string[] | undefined;
  readonly threads?: number | undefined;
  /** Opened as training graphs are. */
  readonly training?: boolean | undefined;
}

export interface TrialOptions {
  /** How long one provider may take, its start and the compilation of its kernels included. */
  readonly timeoutMs?: number | undefined;
  /** The file that the child process runs; another one only in tests. */
  readonly probe?: URL | undefined;
}

/** An operator that a provider left to the CPU. */
export interface LeftToCpu {
  readonly opType: string;
  readonly count: number;
  /** Names of the first few such nodes. */
  readonly nodes: readonly string[];
}

/** One provider's run of a graph. */
export type TrialRun =
  | {
      readonly provider: Provider;
      /** Middle one of a few runs after the first, which compiles. */
      readonly seconds: number;
      readonly loadSeconds: number;
      readonly firstSeconds: number;
      /** Most memory that the process held, on the host. */
      readonly peakBytes?: number | undefined;
      readonly nodes: number;
      readonly leftToCpu: readonly LeftToCpu[];
      readonly outputs: ReadonlyMap<string, Tensor>;
    }
  | { readonly provider: Provider; readonly reason: string };

/** What the parent leaves in the child's folder, besides `graph.onnx` and `feeds.safetensors`. */
export const trialRequest = z.object({
  folder: z.string().optional(),
  /** The model, where it is not `graph.onnx`. */
  path: z.string().optional(),
  fetches: z.array(z.string()).optional(),
  threads: z.number().int().optional(),
  training: z.boolean(),
});

/** What the child says; its outputs are in `outputs.safetensors`. */
export const trialAnswer = z.union([
  z.object({
    seconds: z.number(),
    firstSeconds: z.number(),
    loadSeconds: z.number(),
    peakBytes: z.number().optional(),
  }),
  z.object({ reason: z.string() }),
]);

const PROBE = new URL('./probe-graph.ts', import.meta.url);
const TIMEOUT_MS = 120_000;

/**
 * Runs a graph on one provider in a process of its own: a driver that aborts or hangs takes only that process with it.
 * Never throws for what the provider does; `reason` says why there are no results.
 */
export async function runTrial(provider: Provider, graph: TrialGraph, options: TrialOptions = {}): Promise<TrialRun> {
  const work = mkdtempSync(join(tmpdir(), 'northlight-trial-'));
  try {
    if (!graph.file) writeFileSync(join(work, 'graph.onnx'), graph.bytes);
    writeSafetensors(join(work, 'feeds.safetensors'), new Map(Object.entries(graph.feeds)));
    const { folder, fetches, threads, training = false } = graph;
    const request = { folder, path: graph.file?.path, fetches, threads, training };
    writeFileSync(join(work, 'request.json'), JSON.stringify(request));
    const { answer, log } = await ask(provider, work, options);
    if ('reason' in answer) return { provider, reason: answer.reason };
    const { tensors } = readSafetensors(join(work, 'outputs.safetensors'));
    return { provider, ...answer, ...placement(log, provider), outputs: tensors };
  } catch (error) {
    return { provider, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function ask(
  provider: Provider,
  work: string,
  { timeoutMs = TIMEOUT_MS, probe = PROBE }: TrialOptions,
): Promise<{ answer: z.infer<typeof trialAnswer>; log: string }> {
  return new Promise((resolve) => {
    // A bundle carries the probe as JavaScript; from source, Node strips the types itself. Inherited flags (a debugger's
    // port, a test runner's hooks) are not for it.
    const child = fork(probe, [provider, work], { execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    const log: Buffer[] = [];
    let answer: z.infer<typeof trialAnswer> | undefined;
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.stderr?.on('data', (chunk: Buffer) => log.push(chunk));
    child.on('message', (message) => {
      const parsed = trialAnswer.safeParse(message);
      answer = parsed.success ? parsed.data : { reason: 'The probe answered nonsense.' };
    });
    const finish = (otherwise: string) => {
      clearTimeout(timer);
      resolve({ answer: answer ?? { reason: otherwise }, log: Buffer.concat(log).toString('utf8') });
    };
    child.on('error', (error) => finish(`The probe could not start: ${error.message}`));
    child.on('close', (code, signal) => {
      finish(
        timedOut
          ? `No answer within ${timeoutMs / 1000} s.`
          : `The driver ended the process (${signal ?? `exit code ${code}`}).`,
      );
    });
  });
}

const EXECUTION_PROVIDER: Record<Provider, string> = {
  cpu: 'CPUExecutionProvider',
  webgpu: 'WebGpuExecutionProvider',
  cuda: 'CUDAExecutionProvider',
  dml: 'DmlExecutionProvider',
  coreml: 'CoreMLExecutionProvider',
};

const NAMES_SHOWN = 5;
/** In place of an operator's name, when a provider took none of the graph. */
export const EVERY_OPERATOR = 'every operator';

/**
 * Which nodes the runtime gave to whom, as its log says when a session is made: a line per provider ("Node(s) placed on
 * [X]"), then, unless it has all of them, a line per node ("Op (name)").
 */
export function placement(
  log: string,
  provider: Provider,
  namesShown = NAMES_SHOWN,
): { nodes: number; leftToCpu: LeftToCpu[] } {
  let nodes = 0;
  let here = '';
  const left = new Map<string, string[]>();
  for (const line of log.split('\n')) {
    const head = /(?:Node\(s\)|All nodes) placed on \[(\w+)\]\. Number of nodes: (\d+)/.exec(line);
    if (head) {
      here = head[1]!;
      nodes += Number(head[2]);
      // One provider for everything is said without a list.
      if (line.includes('All nodes') && provider !== 'cpu' && here === EXECUTION_PROVIDER.cpu) {
        return { nodes, leftToCpu: [{ opType: EVERY_OPERATOR, count: nodes, nodes: [] }] };
      }
      continue;
    }
    if (provider === 'cpu' || here !== EXECUTION_PROVIDER.cpu) continue;
    const node = /VerifyEachNodeIsAssignedToAnEp\]\s+([\w.:]+) \((.*)\)\s*$/.exec(line);
    if (!node) continue;
    const names = left.get(node[1]!);
    if (names) names.push(node[2]!);
    else left.set(node[1]!, [node[2]!]);
  }
  return {
    nodes,
    leftToCpu: [...left].map(([opType, names]) => ({
      opType,
      count: names.length,
      nodes: names.slice(0, namesShown),
    })),
  };
}

/** How far two runs of a graph are apart. */
export interface Agreement {
  /** Largest relative error over the outputs. */
  readonly agreement: number;
  /** The output that has it. */
  readonly worst: string;
  /** Relative error of each output. */
  readonly errors: ReadonlyMap<string, number>;
}

/**
 * ‖a − b‖ ∕ ‖b‖ for each floating-point output, b being the reference; the share of elements that differ for others. An
 * output that is zero but for rounding (a key's bias before a softmax) has no meaningful relative error: one below 10⁻⁴ of
 * the largest norm is measured against that much, gradients (`grad/…`) and other outputs each among themselves.
 * Infinite where a shape differs, an output is missing, or only one of the two is not a number.
 */
export function compareOutputs(actual: ReadonlyMap<string, Tensor>, reference: ReadonlyMap<string, Tensor>): Agreement {
  const norms = new Map([...reference].map(([name, t]) => [name, isFloat(t.dtype) ? norm(t) : 0]));
  const kindOf = (name: string) => name.startsWith('grad/');
  const floorOf = (kind: boolean) =>
    NEGLIGIBLE *
    Math.max(0, ...[...norms].filter(([name, n]) => kindOf(name) === kind && n < Infinity).map(([, n]) => n));
  const floors = { gradients: floorOf(true), others: floorOf(false) };
  const errors = new Map<string, number>();
  let [agreement, worst] = [0, ''];
  for (const [name, expected] of reference) {
    const error = difference(
      actual.get(name),
      expected,
      Math.max(norms.get(name)!, kindOf(name) ? floors.gradients : floors.others),
    );
    // Written so that a NaN counts as infinitely wrong.
    const counted = error <= Number.MAX_VALUE ? error : Number.POSITIVE_INFINITY;
    errors.set(name, counted);
    if (worst === '' || counted > agreement) [agreement, worst] = [counted, name];
  }
  return { agreement, worst, errors };
}

/** Together with the tolerance of 10⁻², an error of 10⁻⁶ of the largest gradient is let pass. */
const NEGLIGIBLE = 1e-4;

const norm = (t: Tensor) => Math.sqrt(toNumbers(t).reduce((sum, x) => sum + (Number.isFinite(x) ? x * x : 0), 0));

function difference(actual: Tensor | undefined, expected: Tensor, scale: number): number {
  if (!actual || actual.dtype !== expected.dtype || !dimsEqual(actual.dims, expected.dims))
    return Number.POSITIVE_INFINITY;
  const a = toNumbers(actual);
  const b = toNumbers(expected);
  if (!isFloat(expected.dtype)) return a.filter((x, i) => x !== b[i]).length / Math.max(1, b.length);
  // Equal infinities, and not-a-number in both, are agreement.
  const distance = Math.sqrt(a.reduce((sum, x, i) => sum + (Object.is(x, b[i]) ? 0 : (x - b[i]!) ** 2), 0));
  // Zero against zero is agreement too.
  return distance === 0 ? 0 : distance / scale;
}
