import { NorthlightError } from '#models/errors.ts';
import type { MaskedModel } from '#models/families/masked-sequence.ts';
import type { Session, SessionOptions } from '#models/runtime/session.ts';
import { fromNumbers, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { type MaskedSchedulerConfig, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { moveChance } from '#pipelines/schedulers/masked-config.ts';
import { openAdapted } from './adapted-session.ts';
import { guidedLogProbs, subsLogProbs } from './masked-kernel.ts';
import type { MaskedDenoiser, MaskedQuery } from './masked-loop.ts';
import type { AdapterFile } from './pipeline.ts';

export interface SequencePipelineOptions extends Pick<SessionOptions, 'provider' | 'threads'> {
  readonly adapters?: readonly AdapterFile[];
  /**
   * Sequences of one call of the network, always as many: a last group is filled up. Default: 1 on the CPU, where groups of 4
   * save a third of the time but waste what they are filled up with.
   */
  readonly rowsPerCall?: number;
}

const ROWS_ON_OTHERS = 16;

/** A loaded masked model. Close it to free its session. */
export interface MaskedPipeline {
  readonly model: MaskedModel;
  readonly scheduler: MaskedSchedulerConfig;
  /** Conditions are class numbers; null for none. */
  denoiser(guidanceScale: number): MaskedDenoiser<number | null>;
  /** All masked, `[L]`; filled up with padding where the export wants more positions. */
  start(length: number): Int32Array;
  /** Sequences sent through the network so far; guidance counts two. */
  readonly calls: { count: number };
  /** How its network was opened. */
  readonly session: Pick<SessionOptions, 'provider' | 'threads'>;
  close(): Promise<void>;
}

/** @throws {NorthlightError} `scheduler/config`, `session/…`, or of an adapter that does not belong to the model. */
export async function loadMaskedPipeline(
  model: MaskedModel,
  options: SequencePipelineOptions = {},
): Promise<MaskedPipeline> {
  const { rowsPerCall, adapters = [], ...sessionOptions } = options;
  const scheduler = parseMaskedSchedulerConfig(model.schedulerConfig, `${model.path}/scheduler/scheduler_config.json`);
  const session = await openAdapted(model.denoiser.path, adapters, sessionOptions);
  const calls = { count: 0 };
  const onCpu = sessionOptions.provider === undefined || sessionOptions.provider === 'cpu';
  const rows = model.batch ?? rowsPerCall ?? (onCpu ? 1 : ROWS_ON_OTHERS);
  const network: Network = { model, scheduler, session, rows, calls };
  return {
    model,
    scheduler,
    calls,
    session: sessionOptions,
    denoiser: (guidanceScale) => ({
      maskId: model.maskId,
      timeConditioned: model.timeConditioned,
      predict: (queries) => predict(network, queries, guidanceScale),
    }),
    start(length) {
      const tokens = new Int32Array(model.positions ?? length).fill(model.maskId);
      return model.padId === null ? tokens : tokens.fill(model.padId, length);
    },
    close: () => session.release(),
  };
}

interface Network {
  readonly model: MaskedModel;
  readonly scheduler: MaskedSchedulerConfig;
  readonly session: Session;
  /** Sequences of one call. */
  readonly rows: number;
  readonly calls: { count: number };
}

type Query = MaskedQuery<number | null>;

async function predict(network: Network, queries: readonly Query[], guidanceScale: number): Promise<Float64Array[]> {
  const { nullClass, vocabulary } = network.model;
  if (nullClass === null || guidanceScale === 1) return await ask(network, queries);
  const steered = queries.filter((q) => q.condition !== null);
  const answers = await ask(network, [...queries, ...steered.map((q) => ({ ...q, condition: null }))]);
  const without = answers.slice(queries.length);
  return queries.map((q, i) =>
    q.condition === null ? answers[i]! : guidedLogProbs(without.shift()!, answers[i]!, guidanceScale, vocabulary),
  );
}

/**
 * A call takes sequences of one length, and always the same number of them: kernels choose their summation order by matrix
 * size, so only a fixed size gives a sequence the same numbers in any company.
 */
async function ask(network: Network, queries: readonly Query[]): Promise<Float64Array[]> {
  const { model, rows, calls } = network;
  const answers: Float64Array[] = new Array(queries.length);
  const oneTime = model.time !== null && model.time.port.dims.length === 0;
  for (const group of Map.groupBy(queries.keys(), (i) => {
    const { tokens, time } = queries[i]!;
    return `${tokens.length} ${oneTime ? time : ''}`;
  }).values()) {
    for (let from = 0; from < group.length; from += rows) {
      const chunk = group.slice(from, from + rows);
      const filled = Array.from({ length: rows }, (_, k) => queries[chunk[Math.min(k, chunk.length - 1)]!]!);
      const logits = await run(network, filled);
      for (const [k, i] of chunk.entries()) {
        answers[i] = subsLogProbs(logits[k]!, queries[i]!.tokens, model.maskId, model.written);
      }
      calls.count += chunk.length;
    }
  }
  return answers;
}

/** Logits by token id, `[L, V]` for each; minus infinity for tokens that the network has no column for. */
async function run({ model, scheduler, session }: Network, asked: readonly Query[]): Promise<Float64Array[]> {
  const batch = asked.length;
  const length = asked[0]!.tokens.length;
  const ids = asked.flatMap((q) => Array.from(q.tokens));
  const feeds: Record<string, Tensor> = { [model.ids.name]: fromNumbers(model.ids.dtype, [batch, length], ids) };
  if (model.time !== null) {
    const { port, quantity } = model.time;
    const told = (t: number) => (quantity === 't' ? t : -Math.log1p(-moveChance(scheduler, t)));
    const times = asked.map((q) => (model.timeConditioned ? told(q.time) : 0));
    feeds[port.name] =
      port.dims.length === 0 ? fromNumbers(port.dtype, [], [times[0]!]) : fromNumbers(port.dtype, [batch], times);
  }
  if (model.classLabels !== null) {
    const labels = asked.map((q) => q.condition ?? model.nullClass ?? 0);
    feeds[model.classLabels.name] = fromNumbers(model.classLabels.dtype, [batch], labels);
  }
  const result = (await session.run(feeds, [model.output.name]))[model.output.name]!;
  const [b, l, columns = 0] = result.dims;
  const letters = model.columns.length;
  if (b !== batch || l !== length || (columns !== letters && columns !== letters + 1)) {
    throw new NorthlightError(
      'sampling/shape',
      `The model gave [${result.dims.join(', ')}] for ${batch} sequences of ${length} positions and ${letters} letters.`,
      'It must give [batch, length, vocabulary]; inspect the model.',
    );
  }
  const numbers = result.dtype === 'float32' ? (result.data as Float32Array) : toNumbers(result);
  return asked.map((_, row) => {
    const logits = new Float64Array(length * model.vocabulary).fill(Number.NEGATIVE_INFINITY);
    for (let i = 0; i < length; i++) {
      for (const [c, id] of model.columns.entries()) {
        logits[i * model.vocabulary + id] = numbers[(row * length + i) * columns + c]!;
      }
    }
    return logits;
  });
}
