import { type Bank, readBank } from '#pipelines/bank/bank.ts';
import { type Column, readColumn, upwards } from '#pipelines/bank/columns.ts';
import { groupsOf } from '#pipelines/bank/groups.ts';
import { defaultSamples } from '#pipelines/bank/key.ts';
import { preview } from '#pipelines/bank/preview.ts';
import { CALIBRATION_SAMPLES, needsCalibration, refuseFlat, targetValues } from '#pipelines/bank/target.ts';
import type { EngineContext, Handlers } from '#pipelines/engine/context.ts';
import type { ParsedInput } from '#pipelines/engine/contract.ts';
import type { BankPayload } from '#pipelines/engine/jobs/bank-payload.ts';
import { bankPayload } from '#pipelines/engine/jobs/bank-payload.ts';
import { type PlainOf, plainOf, refuseReward } from '#pipelines/engine/plain-of.ts';
import { rewardLabel } from '#pipelines/engine/reward-label.ts';
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

/** The bank of what the form says, as it lies in the project, and what a job is to be told to make it. */
async function bankOf(of: PlainOf, context: EngineContext) {
  const { identity, payload } = await plainOf(of, context);
  return { bank: readBank(context.project.directory, identity), payload, prompts: identity.prompts.length };
}

/** The unfinished job of a bank. */
function jobAt(bank: Bank, { project }: EngineContext): string | null {
  const unfinished = (['running', 'queued', 'paused'] as const).flatMap((state) => jobs.inState(project.db, state));
  const own = unfinished.find(({ kind, payload }) => {
    return kind === 'bank' && bankPayload.safeParse(payload).data?.key === bank.key;
  });
  return own?.id ?? null;
}
