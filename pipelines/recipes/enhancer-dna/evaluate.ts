import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import type { RecipeIo } from '#pipelines/recipes/types.ts';
import { generateSequences } from '#pipelines/sampling/generate-sequences.ts';
import type { MaskedPipeline } from '#pipelines/sampling/masked-pipeline.ts';
import { createMaskedSchedule } from '#pipelines/schedulers/index.ts';
import { moveChance } from '#pipelines/schedulers/masked-config.ts';
import { BASES } from '#pipelines/sequences/nucleotides.ts';
import { type Activity, activityOf } from './activity.ts';
import { lettersOf } from './batches.ts';
import { drawEnhancer } from './enhancers.ts';
import { approximateLogLikelihood, diversity, motifCorrelation, wordCorrelation } from './metrics.ts';
import { CELLS, type Cell } from './motifs.ts';
import { askOracle, columnOf } from './oracle-evaluate.ts';
import { medianOf, quantileOf } from './statistics.ts';

/** Sequences asked for in one cell line. */
export interface CellEvaluation {
  readonly cell: Cell;
  /** Median log activity in that cell line: exact, as the evaluating oracle says, and exact of new enhancers of the data. */
  readonly activity: number;
  readonly oracle: number | null;
  readonly dataActivity: number;
  /** Exact activity in that cell line above both others, as a share; of the samples and of the data. */
  readonly specific: number;
  readonly dataSpecific: number;
  /** Correlation of three-letter words and of motifs with the data's most active sequences, and with all of that cell line. */
  readonly words: number;
  readonly wordsOfAll: number;
  readonly motifs: number;
  readonly motifsOfAll: number;
  /** Median approximate log-likelihood in nats, of the samples and of the data. */
  readonly logLikelihood: number;
  readonly dataLogLikelihood: number;
  /** Mean share of positions in which two samples differ. */
  readonly diversity: number;
}

export interface Evaluation {
  /** Samples of each cell line. */
  readonly samples: number;
  /** Enhancers of each cell line that they are compared with, and the share of them that counts as most active. */
  readonly reference: number;
  readonly topShare: number;
  readonly cells: readonly CellEvaluation[];
}

/** The protocol of Wang et al. 2025 takes the top 0.1 % of 735,156 measured sequences. */
const TOP_SHARE = 0.001;
const BATCH = 16;

/**
 * How a denoiser does, for each cell line, with samples that no reward has steered.
 * @param options.oracle `model.onnx` of the oracle that nothing is optimised for, or null.
 * @param options.likelihoods sequences of each kind whose likelihood is approximated: a call of the network for every step.
 */
export async function evaluateDenoiser(
  pipeline: MaskedPipeline,
  options: {
    readonly samples: number;
    readonly reference: number;
    readonly likelihoods: number;
    readonly oracle: string | null;
    readonly seed: number;
  },
  io: Pick<RecipeIo, 'progress' | 'signal'>,
): Promise<Evaluation> {
  const { samples, reference } = options;
  const root = new Rng(options.seed).fork('enhancer-evaluation');
  const oracle = options.oracle === null ? null : await createSession(options.oracle);
  try {
    const cells: CellEvaluation[] = [];
    for (const [c, cell] of CELLS.entries()) {
      const made: string[] = [];
      for await (const { sequence } of generateSequences({
        pipeline,
        settings: { eta: 0, guidanceScale: 1, seed: root.fork('samples', c).word(), classId: c, length: null },
        count: samples,
        batch: BATCH,
        checkpoint: () => io.signal.throwIfAborted(),
      })) {
        made.push(sequence);
        io.progress(`sampling for ${cell}`, made.length, samples);
      }
      const activities = made.map(activityOf);
      const data = drawOf(cell, reference, root.fork('data', c).word(), io);
      const dataActivities = data.map(activityOf);
      const exact = dataActivities.map((a) => a[cell]);
      const threshold = quantileOf(exact, 1 - TOP_SHARE);
      const top = data.filter((_, i) => exact[i]! >= threshold);
      const likelihood = async (of: readonly string[], label: string) => {
        const found: number[] = [];
        for (const [i, sequence] of of.slice(0, options.likelihoods).entries()) {
          io.signal.throwIfAborted();
          found.push(await logLikelihood(pipeline, sequence, c, root.fork('noise', label, c, i)));
          io.progress(`likelihood of ${label} for ${cell}`, i + 1, Math.min(of.length, options.likelihoods));
        }
        return medianOf(found);
      };
      cells.push({
        cell,
        activity: medianOf(activities.map((a) => a[cell])),
        oracle:
          oracle &&
          medianOf(
            columnOf(await askOracle(oracle, Uint8Array.from(made.flatMap((s) => [...lettersOf(s)])), samples), c),
          ),
        dataActivity: medianOf(exact),
        specific: shareSpecific(activities, cell),
        dataSpecific: shareSpecific(dataActivities, cell),
        words: wordCorrelation(made, top),
        wordsOfAll: wordCorrelation(made, data),
        motifs: motifCorrelation(made, top),
        motifsOfAll: motifCorrelation(made, data),
        logLikelihood: await likelihood(made, 'samples'),
        dataLogLikelihood: await likelihood(data, 'data'),
        diversity: diversity(made),
      });
    }
    return { samples, reference, topShare: TOP_SHARE, cells };
  } finally {
    await oracle?.release();
  }
}

function drawOf(cell: Cell, count: number, seed: number, io: Pick<RecipeIo, 'progress' | 'signal'>): string[] {
  return Array.from({ length: count }, (_, i) => {
    if (i % 256 === 0) {
      io.signal.throwIfAborted();
      io.progress(`drawing for ${cell}`, i, count);
    }
    return drawEnhancer(seed, i, cell).sequence;
  });
}

function shareSpecific(activities: readonly Activity[], cell: Cell): number {
  const specific = activities.filter((a) => CELLS.every((other) => other === cell || a[other] < a[cell]));
  return specific.length / activities.length;
}

async function logLikelihood(pipeline: MaskedPipeline, sequence: string, cell: number, rng: Rng): Promise<number> {
  const { scheduler } = pipeline;
  const schedule = createMaskedSchedule(scheduler, {
    name: 'masked',
    steps: scheduler.num_inference_steps,
    length: sequence.length,
  });
  const tokens = Int32Array.from(sequence, (letter) => BASES.indexOf(letter));
  const maskedAt = (time: number) => moveChance(scheduler, time);
  return await approximateLogLikelihood(pipeline.denoiser(1), schedule, tokens, cell, maskedAt, rng);
}
