import { sequenceSource } from '#pipelines/bank/sequence-source.ts';
import type { JobContext } from '#pipelines/engine/job-protocol.ts';
import type { GuidedRecord } from '#pipelines/engine/sequence-contract.ts';
import {
  classIdOf,
  type GeneratedSequence,
  generateSequences,
  loadSequencePipeline,
  withDefaults,
} from '#pipelines/sampling/generate-sequences.ts';
import { hashAdapter } from '#pipelines/sampling/used-adapters.ts';
import { stopIfAsked } from './control.ts';
import { createGuidedLog, type GuidedLog, takeTree, toldLetters } from './guided-log.ts';
import { openJournal } from './journal.ts';
import { type SequencesPayload, sequenceBatch } from './sequence-payload.ts';
import { openSteerBy, type SteerBy } from './steer-by.ts';
import { withKept } from './with-kept.ts';

/** Sequences advanced together, and kept together when they are finished. */
const BATCH = 16;

/**
 * Sequences of one model, by the code of `northlight sample`. A finished batch enters the journal and is announced; a resumed job
 * announces those of its journal again and makes the rest.
 */
export async function makeSequences(
  { sequences: p }: SequencesPayload,
  context: JobContext,
): Promise<{ count: number }> {
  const journal = openJournal(context.project, context.jobId, sequenceBatch);
  let done = 0;
  for (const batch of journal.finished) {
    context.event('sequences', batch);
    done += batch.sequences.length;
  }
  const report = (share = 0) =>
    context.progress(`sequence ${Math.min(done + 1, p.count)} of ${p.count}`, done + share, p.count);
  try {
    report();
    if (done >= p.count) return { count: done };
    stopIfAsked(context);
    const session = context.threads ? { threads: context.threads } : {};
    const adapters = p.adapterPath === null ? [] : [{ path: p.adapterPath, weight: 1 }];
    const pipeline = await loadSequencePipeline(p.modelPath, { ...session, adapters });
    let by: SteerBy | null = null;
    try {
      const settings = withDefaults(pipeline, {
        scheduler: p.scheduler ?? undefined,
        steps: p.steps ?? undefined,
        eta: p.eta,
        guidanceScale: p.guidanceScale,
        seed: p.seed,
        classId: classIdOf(pipeline.model, p.className ?? undefined),
        length: p.length,
      });
      const source = () => {
        const used = adapters.map(({ path, weight }) => ({ sha256: hashAdapter(path), weight }));
        return sequenceSource(pipeline, settings, { adapters: used, provider: 'cpu' });
      };
      if (p.steering) by = await openSteerBy(p.steering, source, context);
      const { label = '', scoresOf } = by ?? {};
      const log = by && createGuidedLog(context.project, context.jobId, { reward: label, decoder: by.steering.name });
      const first = done;
      const stream = generateSequences({
        pipeline,
        settings,
        first,
        count: p.count - first,
        batch: BATCH,
        ...(by ? { steered: { ...by, score: bySequence(by) } } : {}),
        checkpoint: () => stopIfAsked(context),
        onStep: ({ step, total, batch, guided }) => {
          report((batch * step) / total);
          for (const [i, told] of guided?.entries() ?? []) {
            const index = done + i;
            const taken = log?.take(index, step, total, told);
            if (!taken) continue;
            const { guesses, ...rest } = taken;
            const own = { ...rest, guesses: guesses().map(toldLetters), sheet: null };
            log?.keep(index, own);
            // The window follows one of a batch.
            if (i === 0) context.event('steered', { reward: label, prompt: '', index, total, ...own });
          }
        },
      });
      let made: GeneratedSequence[] = [];
      const finished = () => (done === 0 ? '' : `${done} of ${p.count} sequences`);
      await withKept(finished, async () => {
        for await (const sequence of stream) {
          made.push(sequence);
          if (made.length < Math.min(BATCH, p.count - done)) continue;
          const batch = {
            steps: settings.steps,
            scheduler: settings.scheduler,
            sequences: await Promise.all(
              made.map(async ({ index, sequence: letters, reward }) => ({
                ...{ index, letters },
                scores: (await scoresOf?.({ kind: 'sequence', sequence: letters }, reward!)) ?? [],
              })),
            ),
          };
          for (const one of made) finishLog(log, one);
          journal.append(batch);
          context.event('sequences', batch);
          done += made.length;
          made = [];
          report();
        }
      });
      return { count: done };
    } finally {
      await by?.close();
      await pipeline.close();
    }
  } finally {
    journal.close();
  }
}

const bySequence = (by: SteerBy) => (sequences: readonly string[]) =>
  by.score(sequences.map((sequence) => ({ kind: 'sequence', sequence })));

function finishLog(log: GuidedLog | null, { index, tree, reward }: GeneratedSequence): void {
  if (log === null) return;
  let told: GuidedRecord['tree'] = null;
  if (tree !== null) {
    const { places, left } = takeTree(tree);
    const shown = places.map(({ guess, ...place }) => ({ ...place, guess: toldLetters(guess()) }));
    told = { places: shown, sheet: null, left };
  }
  log.finish(index, told, reward);
}
