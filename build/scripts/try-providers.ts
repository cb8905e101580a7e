import { type ChildProcess, fork } from 'node:child_process';
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { loraStep, withRandomWeights } from '#build/bench/lib/training-step.ts';
import { gradientModel } from '#models/autodiff/gradient-model.ts';
import { openModelFolder } from '#models/families/index.ts';
import { writeFileAtomic } from '#models/files.ts';
import { readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder, operatorKey, operators } from '#models/ops/index.ts';
import { compareOutputs, EVERY_OPERATOR, placement, runTrial, type TrialGraph } from '#models/runtime/graph-trial.ts';
import { createSession, type Provider, runtimeVersion } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { type DType, fromNumbers, numel, type Tensor } from '#models/tensor/tensor.ts';
import { gradientCases } from '#test/models/ops/cases/index.ts';
import { buildGradient, type Draw, type GradientCase, normal } from '#test/support/check-gradient.ts';
import { gradientFixtures, loadGradientFixture } from '#test/support/gradients.ts';
import { type OperatorRecord, providersPath, readProviders, type Tried } from './providers-file.ts';

/**
 * Measures what a provider does with every operator case and with whole training graphs, against the CPU, and keeps it for
 * docs/ops.md: `node build/scripts/try-providers.ts webgpu "name of the device" [operators|graphs]`.
 */

/** A kernel that sums in another order differs by rounding; one that computes something else differs by far more. */
const TOLERANCE = 1e-3;
const CASE_TIMEOUT_MS = 300_000;
const BEGIN = '@@case ';

const cases: readonly GradientCase[] = Object.values(gradientCases).flat();

interface CaseResult {
  /** Position in the list of cases. */
  readonly case: number;
  /** Relative error by node output. */
  readonly errors?: Record<string, number>;
  readonly reason?: string;
}

/** In the child: runs the cases from `first` on, says how each went, and lets the runtime write where it put the nodes. */
async function runCases(provider: Provider, first: number): Promise<void> {
  // As long as one session is open, the runtime keeps its device and the kernels it has compiled.
  await openProbe(provider);
  for (let i = first; i < cases.length; i++) {
    const c = cases[i]!;
    writeSync(2, `${BEGIN}${i}\n`);
    let result: CaseResult;
    try {
      result = { case: i, errors: await runCase(c, provider) };
    } catch (error) {
      result = { case: i, reason: error instanceof Error ? error.message : String(error) };
    }
    writeSync(1, `${JSON.stringify(result)}\n`);
  }
}

async function openProbe(provider: Provider): Promise<void> {
  const op = createBuilder();
  op.output(op.neg(op.input('x', 'float32', [1])), 'y');
  await createSession(encodeModel(op.toModel('open')), { provider });
}

async function runCase(c: GradientCase, provider: Provider): Promise<Record<string, number>> {
  const gradient = buildGradient(c, 'float32');
  const rng = new Rng(1).fork(c.title);
  const feeds: Record<string, Tensor> = {};
  const feed = (name: string, dtype: DType, dims: readonly number[], draw: Draw) => {
    feeds[name] = fromNumbers(dtype, dims, draw(rng.fork(name), numel(dims)).map(Math.fround));
  };
  for (const [name, given] of Object.entries(c.inputs)) {
    const [dims, draw] = typeof given[1] === 'function' ? (given as [number[], Draw]) : [given as number[], normal];
    feed(name, 'float32', dims, draw);
  }
  for (const v of gradient.cotangents) feed(v.name, v.dtype, v.dims, normal);
  const bytes = encodeModel(gradient.model);
  // As written: each node is compared, so none may be fused away.
  const options = { optimization: 'disabled', threads: 1 } as const;
  const other = await createSession(bytes, { ...options, provider, explain: true });
  const cpu = await createSession(bytes, options);
  try {
    const want = await cpu.run(feeds);
    const got = await other.run(feeds);
    const { errors } = compareOutputs(new Map(Object.entries(got)), new Map(Object.entries(want)));
    return Object.fromEntries([...errors].map(([name, error]) => [name, Math.min(error, Number.MAX_VALUE)]));
  } finally {
    await cpu.release();
    await other.release();
  }
}

/** In the parent: every case, with a fresh child after each one that was ended by its driver. */
async function tryOperators(provider: Provider): Promise<Pick<Tried, 'operators' | 'unexplained'>> {
  const records = new Map<string, OperatorRecord>();
  const unexplained: string[] = [];
  for (let next = 0; next < cases.length; ) {
    const { results, logs } = await childFrom(provider, next);
    for (const result of results) tally(result, logs.get(result.case) ?? '', provider, records, unexplained);
    next = (results.at(-1)?.case ?? next - 1) + 1;
    if (next < cases.length) {
      tally({ case: next, reason: 'The driver ended the process.' }, '', provider, records, unexplained);
      next++;
    }
  }
  return { operators: Object.fromEntries([...records].sort(([a], [b]) => (a < b ? -1 : 1))), unexplained };
}

function childFrom(provider: Provider, first: number): Promise<{ results: CaseResult[]; logs: Map<number, string> }> {
  return new Promise((resolve) => {
    const child: ChildProcess = fork(import.meta.filename, ['--cases', provider, String(first)], {
      execArgv: [],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const results: CaseResult[] = [];
    const logs = new Map<number, string>();
    let timer = setTimeout(() => child.kill('SIGKILL'), CASE_TIMEOUT_MS);
    let current = first;
    createInterface({ input: child.stdout! }).on('line', (line) => {
      clearTimeout(timer);
      timer = setTimeout(() => child.kill('SIGKILL'), CASE_TIMEOUT_MS);
      if (!line.startsWith('{')) return;
      results.push(JSON.parse(line) as CaseResult);
      if (results.length % 25 === 0) console.log(`${first + results.length} of ${cases.length} cases`);
    });
    createInterface({ input: child.stderr! }).on('line', (line) => {
      if (line.startsWith(BEGIN)) current = Number(line.slice(BEGIN.length));
      else if (/placed on|VerifyEachNode/.test(line)) logs.set(current, `${logs.get(current) ?? ''}${line}\n`);
    });
    child.on('close', () => {
      clearTimeout(timer);
      resolve({ results, logs });
    });
  });
}

function tally(
  result: CaseResult,
  log: string,
  provider: Provider,
  records: Map<string, OperatorRecord>,
  unexplained: string[],
): void {
  const c = cases[result.case]!;
  const { graph } = buildGradient(c, 'float32').model;
  const recordOf = (name: string) => {
    const record = records.get(name) ?? { ok: 0, cpu: 0, wrong: 0, error: 0, worst: 0, note: '' };
    records.set(name, record);
    return record;
  };
  const left = placement(log, provider, Number.POSITIVE_INFINITY).leftToCpu;
  const onCpu = new Set(left.flatMap((l) => l.nodes));
  const allOnCpu = left.some((l) => l.opType === EVERY_OPERATOR);
  if (result.reason !== undefined) {
    const named = /running (\w+) node|implementation for (\w+)/.exec(result.reason);
    const present = named?.slice(1).find((name) => name && operators.has(name));
    if (present) {
      const record = recordOf(present);
      record.error++;
      record.note ||= `${c.title}: ${result.reason}`.split('\n')[0]!.slice(0, 300);
    } else unexplained.push(`${c.title}: ${result.reason}`.split('\n')[0]!.slice(0, 300));
    return;
  }
  const wrong = new Set<string>();
  for (const node of graph.nodes) {
    const record = recordOf(operatorKey(node.domain, node.opType));
    if (allOnCpu || onCpu.has(node.name)) {
      record.cpu++;
      continue;
    }
    const errors = node.outputs.flatMap((o) => (result.errors?.[o] === undefined ? [] : [result.errors[o]]));
    const error = Math.max(0, ...errors);
    // What is computed from wrong values is not this node's fault.
    if (node.inputs.some((name) => wrong.has(name))) {
      for (const o of node.outputs) wrong.add(o);
      continue;
    }
    record.worst = Math.max(record.worst, Math.min(Number(error.toPrecision(2)), 1e300));
    if (error <= TOLERANCE) record.ok++;
    else {
      record.wrong++;
      record.note ||= `${c.title}: relative error ${error.toPrecision(2)}`;
      for (const o of node.outputs) wrong.add(o);
    }
  }
}

/** One file of each network: the variants differ in plumbing that is folded away. */
function fixtureGraphs(): { title: string; graph: () => TrialGraph }[] {
  const newest = new Map(gradientFixtures().map((entry) => [entry.folder, entry]));
  return [...newest.values()].map((entry) => ({
    title: entry.title,
    graph: () => {
      const fixture = loadGradientFixture(entry);
      const model = readModel(fixture.modelPath);
      const inputDims = Object.fromEntries([...fixture.inputs].map(([name, t]) => [name, t.dims]));
      const gradient = gradientModel(model, { inputDims, wrt: 'all' });
      const cotangents = [...fixture.cotangents].map(([name, t]) => [`cotangent/${name}`, t] as const);
      const feeds = { ...Object.fromEntries(fixture.inputs), ...Object.fromEntries(cotangents) };
      return { bytes: encodeModel(gradient.model), feeds, training: true };
    },
  }));
}

function floraStep(): { title: string; graph: () => TrialGraph } {
  return {
    title: 'flora, LoRA step of rank 8 on every layer, batch 1',
    graph: () => {
      const { unet } = openModelFolder(join(import.meta.dirname, '..', '..', 'models', 'bundled', 'flora'));
      const { model, feeds } = loraStep(withRandomWeights(unet), 1, 8);
      return { bytes: encodeModel(model), feeds, training: true };
    },
  };
}

async function tryGraphs(provider: Provider, done: (graphs: Tried['graphs']) => void): Promise<Tried['graphs']> {
  const found: Tried['graphs'] = [];
  for (const { title, graph } of [...fixtureGraphs(), floraStep()]) {
    const given = graph();
    const cpu = await runTrial('cpu', given);
    const run = await runTrial(provider, given, { timeoutMs: 600_000 });
    const reason = 'reason' in run ? run.reason : 'reason' in cpu ? cpu.reason : '';
    const agreed = 'reason' in run || 'reason' in cpu ? null : compareOutputs(run.outputs, cpu.outputs);
    const short = (s: number) => Number(s.toPrecision(2));
    found.push({
      title,
      nodes: 'reason' in run ? 0 : run.nodes,
      agreement: agreed && short(Math.min(agreed.agreement, Number.MAX_VALUE)),
      worst: agreed?.worst ?? '',
      seconds: 'reason' in run ? null : short(run.seconds),
      cpuSeconds: 'reason' in cpu ? null : short(cpu.seconds),
      leftToCpu: 'reason' in run ? {} : Object.fromEntries(run.leftToCpu.map((l) => [l.opType, l.count])),
      reason,
    });
    done(found);
    const last = found.at(-1)!;
    console.log(`${title}: ${last.agreement ?? last.reason} (${last.seconds} s, CPU ${last.cpuSeconds} s)`);
  }
  return found;
}

if (import.meta.main) {
  if (process.argv[2] === '--cases') {
    await runCases(process.argv[3] as Provider, Number(process.argv[4]));
    // Some drivers abort while they are taken down; everything is said by now.
    process.exit(0);
  }
  const [, , provider = 'webgpu', device = '', part = 'all'] = process.argv as [
    string,
    string,
    Provider?,
    string?,
    string?,
  ];
  const before = readProviders().tried;
  const old = before.find((t) => t.provider === provider && t.device === device);
  const others = before.filter((t) => t !== old);
  let entry: Tried = old ?? { provider, device, operators: {}, unexplained: [], graphs: [] };
  // Each result is kept as it comes: a slow provider takes hours.
  const write = (change: Partial<Tried>) => {
    entry = { ...entry, ...change };
    writeFileAtomic(
      providersPath,
      `${JSON.stringify({ runtime: runtimeVersion(), tried: [...others, entry] }, null, 1)}\n`,
    );
  };
  if (part !== 'graphs') write(await tryOperators(provider));
  if (part !== 'operators') await tryGraphs(provider, (graphs) => write({ graphs }));
  console.log(`Wrote test/golden/providers.json: ${Object.keys(entry.operators).length} operators.`);
}
