import { createHash } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { bankKey } from '#pipelines/bank/key.ts';
import { lessonCalls, lessonLooks, valueLessons } from '#pipelines/decoding/value-lessons.ts';
import type { EngineContext, Handlers } from '#pipelines/engine/context.ts';
import type { ValueNetworkView } from '#pipelines/engine/contract.ts';
import { type ValuesPayload, valuesPayload } from '#pipelines/engine/jobs/values-payload.ts';
import { type PlainOf, plainOf, refuseReward } from '#pipelines/engine/plain-of.ts';
import { rewardLabel } from '#pipelines/engine/reward-label.ts';
import { rewardHash } from '#pipelines/rewards/reward-hash.ts';
import { newId } from '#pipelines/store/ids.ts';
import { jobs } from '#pipelines/store/jobs.ts';

/** Samples to learn from: pictures differ by less, and each costs more. */
const SAMPLES: Readonly<Record<PlainOf['makes'], number>> = { pictures: 128, sequences: 512 };

export const values: Handlers<'values'> = {
  'values.show': async ({ of, reward }, context) => {
    const { payload, folder, modelHash } = await formOf(of, reward, context);
    const { valueTrainingOptions } = await import('#pipelines/decoding/value-training.ts');
    const lessons = valueLessons.parse({ count: SAMPLES[of.makes] });
    return {
      networks: await networksOf(context.project.directory, modelHash, reward),
      cost: {
        samples: lessons.count,
        updates: valueTrainingOptions.parse({}).updates,
        denoiserCalls:
          of.makes === 'pictures'
            ? lessonCalls(lessons, payload.settings.steps)
            : lessons.count * payload.settings.steps,
        rewardCalls: lessonLooks(lessons, payload.settings.steps),
      },
      jobId: jobAt(folder, context),
    };
  },

  'values.train': async ({ of, reward }, context) => {
    await refuseReward(of.makes, reward);
    const { payload, folder } = await formOf(of, reward, context);
    const { queue } = context;
    const running = jobAt(folder, context);
    if (running !== null) return queue.get(running);
    const count = SAMPLES[of.makes];
    const job = queue.add({
      id: newId('job'),
      kind: 'values',
      title: `A value network for ${rewardLabel(reward)}`,
      total: 2 * count,
      payload: {
        of: { ...payload, key: '', count, rewards: [] },
        reward,
        folder,
      } satisfies ValuesPayload,
      origin: { modelId: of.modelId, adapterId: of.adapterId, adapterA: null, adapterB: null },
      runId: null,
      sessionId: null,
    });
    queue.start();
    return queue.get(job.id);
  },
};

/** What the form says, and where its network lies in the project: the same form and reward always have the same folder. */
async function formOf(of: PlainOf, reward: string, context: EngineContext) {
  const { identity, payload } = await plainOf(of, context);
  const key = createHash('sha256')
    .update(`${bankKey(identity)} ${rewardHash(reward)}`)
    .digest('hex');
  return { payload, modelHash: identity.model, folder: join(context.project.directory, 'values', key) };
}

/** The latest first. What cannot be read, or belongs to another model or reward, is left out. */
async function networksOf(project: string, modelHash: string, reward: string): Promise<ValueNetworkView[]> {
  const root = join(project, 'values');
  if (!existsSync(root)) return [];
  const { readValueCard } = await import('#pipelines/decoding/value-network.ts');
  const hash = rewardHash(reward);
  const found = readdirSync(root).flatMap((name) => {
    const folder = join(root, name);
    try {
      const card = readValueCard(folder);
      if (card.modelHash !== modelHash || card.reward !== reward || card.rewardHash !== hash) return [];
      const { kind, alpha, samples, choice, correlation, guessCorrelation } = card;
      const madeAt = statSync(join(folder, 'value.json')).mtimeMs;
      return [{ madeAt, view: { folder, kind, alpha, samples, choice, correlation, guessCorrelation } }];
    } catch {
      // One that is still being trained has no card yet.
      return [];
    }
  });
  return found.sort((a, b) => b.madeAt - a.madeAt).map(({ view }) => view);
}

/** The unfinished job that writes a folder. */
function jobAt(folder: string, { project }: EngineContext): string | null {
  const unfinished = (['running', 'queued', 'paused'] as const).flatMap((state) => jobs.inState(project.db, state));
  const own = unfinished.find(({ kind, payload }) => {
    return kind === 'values' && valuesPayload.safeParse(payload).data?.folder === folder;
  });
  return own?.id ?? null;
}
