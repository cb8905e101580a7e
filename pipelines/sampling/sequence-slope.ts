import type { OneHotModel } from '#models/families/onehot-sequence.ts';
import type { Model } from '#models/onnx/ir.ts';
import type { SessionOptions } from '#models/runtime/session.ts';
import type { GaussianSchedule } from '#pipelines/schedulers/types.ts';
import type { MaskedPipeline } from './masked-pipeline.ts';
import { openNetworkSlope } from './network-slope.ts';
import type { OneHotPipeline } from './onehot-pipeline.ts';
import { openSlope, type RewardSlope, rewardOfSample } from './reward-slope.ts';

/** A reward of sequences as a graph: probabilities of letters, `item [1, L, A]`, to `score []`, higher is better. */
export type SequenceRewardGraph = (sequence: {
  readonly kind: 'sequence';
  readonly length: number;
  readonly alphabet: string;
}) => Model;

/**
 * The gradient of a reward of sequences by the probabilities of all tokens, `[P, V]`, zero for those that are no letters and for
 * positions beyond the end.
 * @param lengths of the sequence of each row.
 */
export async function openMaskedSlope(
  { model }: Pick<MaskedPipeline, 'model'>,
  lengths: readonly number[],
  reward: SequenceRewardGraph,
  session: SessionOptions = {},
): Promise<RewardSlope> {
  const { vocabulary, written, positions } = model;
  const alphabet = written.map((id) => model.alphabet[id]).join('');
  const opened = new Map<number, RewardSlope>();
  const close = async () => {
    for (const slope of opened.values()) await slope.close();
  };
  try {
    for (const length of new Set(lengths)) {
      const graph = rewardOfSample(
        [positions ?? length, vocabulary],
        (op, sample) => op.gather(op.slice(sample, 1, 0, length), op.i64(written), 2),
        () => reward({ kind: 'sequence', length, alphabet }),
      );
      opened.set(length, await openSlope(graph, session));
    }
  } catch (error) {
    await close();
    throw error;
  }
  const of = (row: number) => opened.get(lengths[row]!)!;
  return {
    async values(samples, rows) {
      const out = new Float64Array(samples.length);
      for (const [i, s] of samples.entries()) out[i] = (await of(rows[i]!).values([s], [rows[i]!]))[0]!;
      return out;
    },
    async gradient(samples, rows, values) {
      const out: Float32Array[] = [];
      for (const [i, s] of samples.entries())
        out.push((await of(rows[i]!).gradient([s], [rows[i]!], values?.subarray(i, i + 1)))[0]!);
      return out;
    },
    close,
  };
}

/** The same in the numbers of a one-hot sample, `[A, L]`, read as probabilities: 1 as certain and −1 as impossible. */
export function openOneHotSlope(
  { model }: Pick<OneHotPipeline, 'model'>,
  reward: SequenceRewardGraph,
  session: SessionOptions = {},
): Promise<RewardSlope> {
  return openSlope(rewardOfNumbers(model, reward), session);
}

/**
 * The same by a noisy one-hot sample, through the network with its guidance and adapters.
 * @throws {NorthlightError} as `openNetworkSlope` does, and what the reward refuses.
 */
export function openOneHotNetworkSlope(
  pipeline: OneHotPipeline,
  guidanceScale: number,
  schedule: GaussianSchedule,
  reward: SequenceRewardGraph,
): ReturnType<typeof openNetworkSlope<number | null>> {
  const { model, calls, session } = pipeline;
  const { dims, sample, output } = model;
  return openNetworkSlope(
    {
      network: pipeline.network(),
      sample: sample.name,
      output: output.name,
      dims,
      packed: false,
      calls,
      feedsOf(condition, timestep) {
        const guided = pipeline.isGuided(condition, guidanceScale);
        const asked = guided ? [model.nullClass, condition] : [condition];
        const feeds = pipeline.feeds(asked, timestep);
        return { rows: asked.length, asked: asked.length, guidanceScale: guided ? guidanceScale : null, feeds };
      },
    },
    schedule,
    rewardOfNumbers(model, reward),
    session,
  );
}

function rewardOfNumbers(model: OneHotModel, reward: SequenceRewardGraph): Model {
  const [length] = model.length;
  const alphabet = model.channels.map((id) => model.alphabet[id]).join('');
  return rewardOfSample(
    model.dims,
    (op, sample) => {
      const channels = op.reshape(sample, [1, model.channels.length, length]);
      return op.transpose(op.mulScalar(op.addScalar(channels, 1), 0.5), [0, 2, 1]);
    },
    () => reward({ kind: 'sequence', length, alphabet }),
  );
}
