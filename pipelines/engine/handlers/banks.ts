import { NorthlightError } from '#models/errors.ts';
import { type Bank, readBank } from '#pipelines/bank/bank.ts';
import { type Column, readColumn, upwards } from '#pipelines/bank/columns.ts';
import { groupsOf } from '#pipelines/bank/groups.ts';
import { pictureIdentity, sequenceIdentity } from '#pipelines/bank/identity.ts';
import { defaultSamples } from '#pipelines/bank/key.ts';
import { preview } from '#pipelines/bank/preview.ts';
import { CALIBRATION_SAMPLES, needsCalibration, refuseFlat, targetValues } from '#pipelines/bank/target.ts';
import type { EngineContext, Handlers } from '#pipelines/engine/context.ts';
import type { ParsedInput } from '#pipelines/engine/contract.ts';
import type { BankPayload } from '#pipelines/engine/jobs/bank-payload.ts';
import { bankPayload } from '#pipelines/engine/jobs/bank-payload.ts';
import { pictureRewards } from '#pipelines/engine/picture-rewards.ts';
import { rewardLabel } from '#pipelines/engine/reward-label.ts';
import { refuseSequenceReward } from '#pipelines/engine/sequence-rewards.ts';
import { adapterPath, findAdapter } from '#pipelines/engine/views.ts';
import { newId } from '#pipelines/store/ids.ts';
import { jobs } from '#pipelines/store/jobs.ts';

/** Fewer say little: below it a preview would be unreliable from the start. */
const FIRST_LOOK = 64;

export const banks: Handlers<'banks'> = {
  'banks.show': async ({ of, rewards, combine, cap, alpha }, context) => {
    const { bank, payload, prompts } = await bankOf(of, context);
    const found = rewards.map(({ reward, weight }) => ({ column: readColumn(bank, reward), weight }));
    const scored = Math.min(...found.map(({ column }) => column?.values.length ?? 0));
    const { items } = bank;
    return {
      key: bank.key,
      samples: items.length,
      scored,
      calibration: needsCalibration(rewards, cap) ? CALIBRATION_SAMPLES : 0,
      sizes: [FIRST_LOOK * Math.ceil(prompts / 4), defaultSamples(prompts)],
      secondsPerSample: items.length === 0 ? null : items.reduce((sum, { seconds }) => sum + seconds, 0) / items.length,
      callsPerSample: payload.settings.steps,
      jobId: jobAt(bank, context),
      preview: scored > 0 ? preview(groupsOf(bank, targetOf(found, { combine, cap }, scored)), alpha) : null,
    };
  },

  'banks.make': async ({ of, rewards, count }, context) => {
    const names = rewards.map(({ reward }) => reward);
    for (const reward of names) await refuseReward(of.makes, reward);
    const { bank, payload } = await bankOf(of, context);
    const { queue } = context;
    const running = jobAt(bank, context);
    if (running !== null) return queue.get(running);
    const wanted = Math.max(count, bank.items.length);
    const missing = wanted - bank.items.length;
    const job = queue.add({
      id: newId('job'),
      kind: 'bank',
      title:
        missing > 0
          ? `${missing} plain ${of.makes} to compare with`
          : `Plain ${of.makes} by ${names.map(rewardLabel).join(', ')}`,
      total: wanted,
      payload: { ...payload, count: wanted, rewards: names, key: bank.key } satisfies BankPayload,
      origin: { modelId: of.modelId, adapterId: of.adapterId, adapterA: null, adapterB: null },
      runId: null,
      sessionId: null,
    });
    queue.start();
    return queue.get(job.id);
  },
};

/** What steering would follow, of the first `scored` samples. */
function targetOf(
  found: readonly { readonly column: Column | null; readonly weight: number }[],
  how: Pick<ParsedInput<'banks.show'>, 'combine' | 'cap'>,
  scored: number,
): Float64Array {
  const columns = found.map(({ column, weight }) => ({
    column: { ...column!, values: column!.values.slice(0, scored) },
    weight,
  }));
  if (columns.length > 1) for (const { column } of columns) refuseFlat(column.reward, upwards(column));
  return targetValues(columns, how);
}

type Of = ParsedInput<'banks.show'>['of'];
type Bare<T> = T extends unknown ? Omit<T, 'count' | 'rewards' | 'key'> : never;

/** The bank of what the form says, as it lies in the project, and what a job is to be told to make it. */
async function bankOf(
  of: Of,
  { project, catalog }: EngineContext,
): Promise<{ bank: Bank; payload: Bare<BankPayload>; prompts: number }> {
  const { modelId, adapterId, ...rest } = of;
  const model = await catalog.usable(modelId);
  const paths = { modelPath: model.path, adapterPath: adapterPath(project, adapterId, modelId) };
  const adapters = adapterId === null ? [] : [{ sha256: findAdapter(project, adapterId).hash, weight: 1 }];
  const common = { model: await catalog.hash(modelId), adapters, provider: 'cpu' };
  if (rest.makes === 'pictures') {
    const { makes, prompts, ...asked } = rest;
    const settings = { ...asked, width: asked.width ?? model.width, height: asked.height ?? model.height };
    const identity = pictureIdentity({ ...common, prompts, settings });
    const payload = { ...paths, makes, prompts: identity.prompts, settings };
    return { bank: readBank(project.directory, identity), payload, prompts: identity.prompts.length };
  }
  const { makes, className, ...asked } = rest;
  const known = model.sequence;
  if (known === null) throw notOfSequences(model.name);
  const settings = {
    ...asked,
    scheduler: asked.scheduler ?? known.defaults.scheduler,
    steps: asked.steps ?? known.defaults.steps,
    classId: className === null ? null : classIdIn(known.classes, className),
  };
  const identity = sequenceIdentity({ ...common, className: className ?? '', settings });
  return { bank: readBank(project.directory, identity), payload: { ...paths, makes, settings }, prompts: 1 };
}

const notOfSequences = (name: string) =>
  new NorthlightError('bank/kind', `"${name}" does not make sequences.`, 'Choose a model of sequences.');

function classIdIn(classes: readonly string[], className: string): number {
  const named = classes.indexOf(className);
  if (named >= 0) return named;
  throw new NorthlightError(
    'sampling/class',
    `The model has no class "${className}".`,
    `It knows ${classes.join(', ')}.`,
  );
}

/** The unfinished job of a bank. */
function jobAt(bank: Bank, { project }: EngineContext): string | null {
  const unfinished = (['running', 'queued', 'paused'] as const).flatMap((state) => jobs.inState(project.db, state));
  const own = unfinished.find(({ kind, payload }) => {
    return kind === 'bank' && bankPayload.safeParse(payload).data?.key === bank.key;
  });
  return own?.id ?? null;
}

async function refuseReward(makes: Of['makes'], reward: string): Promise<void> {
  if (makes === 'sequences') return refuseSequenceReward(reward);
  const known = (await pictureRewards()).map(({ name }) => name);
  if (known.includes(reward)) return;
  throw new NorthlightError('reward/unknown', `There is no reward "${reward}".`, `Use one of ${known.join(', ')}.`);
}
