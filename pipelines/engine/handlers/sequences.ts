import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { fileError, writeFileAtomic } from '#models/files.ts';
import type { Handlers } from '#pipelines/engine/context.ts';
import type { Model, ParsedInput } from '#pipelines/engine/contract.ts';
import type { ScorePayload } from '#pipelines/engine/jobs/payloads.ts';
import type { SequencesPayload } from '#pipelines/engine/jobs/sequence-payload.ts';
import { refuseMethod } from '#pipelines/engine/refuse-method.ts';
import { rewardLabel } from '#pipelines/engine/reward-label.ts';
import { refuseSequenceReward, sequenceRewardsToList } from '#pipelines/engine/sequence-rewards.ts';
import { sequenceText } from '#pipelines/engine/sequence-text.ts';
import { tracksOf } from '#pipelines/engine/sequence-tracks.ts';
import { adapterPath, viewSequence } from '#pipelines/engine/views.ts';
import { BRANCHING_SAMPLERS } from '#pipelines/schedulers/names.ts';
import { newId } from '#pipelines/store/ids.ts';
import { sequences as table } from '#pipelines/store/sequences.ts';

export const sequences: Handlers<'sequences'> = {
  'sequences.start': async ({ modelId, adapterId, ...input }, { project, catalog, queue }) => {
    const model = await catalog.usable(modelId);
    refuseUnfit(input, model);
    if (input.steering) {
      for (const { reward } of input.steering.rewards) await refuseSequenceReward(reward);
      await refuseMethod(input.steering, (reward) => reward.startsWith('onnx:'));
    }
    const payload: SequencesPayload = {
      sequences: { ...input, modelPath: model.path, adapterPath: adapterPath(project, adapterId, modelId) },
    };
    const job = queue.add({
      id: newId('job'),
      kind: 'generate',
      title: `${input.count} × ${input.className ?? model.name}`,
      total: input.count,
      payload,
      origin: { modelId, adapterId, adapterA: null, adapterB: null, makes: 'sequences' },
      runId: null,
      sessionId: null,
    });
    queue.start();
    return queue.get(job.id);
  },

  'sequences.list': (filter, { project }) => {
    const { sequences: found, total } = table.list(project.db, filter);
    return { sequences: found.map(viewSequence), total };
  },

  'sequences.rewards': async (_input, { project, bundledModels }) => {
    const scored = new Map(table.rewards(project.db).map(({ reward, count }) => [reward, count]));
    const known = await sequenceRewardsToList(bundledModels);
    return known.map(({ name, description }) => ({ reward: name, description, scored: scored.get(name) ?? 0 }));
  },

  'sequences.score': async ({ seqs, reward }, { project, queue }) => {
    await refuseSequenceReward(reward);
    const items = table.unscored(project.db, reward, seqs);
    if (items.length === 0) {
      throw new NorthlightError(
        'score/nothing',
        `All of these sequences have a score by ${rewardLabel(reward)} already.`,
      );
    }
    const id = newId('job');
    const folder = join(project.directory, 'jobs', id);
    const list = join(folder, 'items.jsonl');
    mkdirSync(folder, { recursive: true });
    writeFileAtomic(list, items.map((item) => `${JSON.stringify(item)}\n`).join(''));
    const payload: ScorePayload = { reward, list };
    queue.add({
      id,
      kind: 'score',
      title: `Score ${items.length === 1 ? '1 sequence' : `${items.length} sequences`} by ${rewardLabel(reward)}`,
      total: items.length,
      payload,
      origin: { modelId: '', adapterId: null, adapterA: null, adapterB: null },
      runId: null,
      sessionId: null,
    });
    queue.start();
    return queue.get(id);
  },

  'sequences.text': ({ seqs, format }, { project }) => ({
    text: sequenceText(table.bySeqs(project.db, seqs).map(viewSequence), format),
  }),

  'sequences.export': ({ seqs, format, folder }, { project }) => {
    const found = table.bySeqs(project.db, seqs).map(viewSequence);
    const parent = folder === undefined ? join(project.directory, 'exports') : resolve(project.directory, folder);
    const stamp = new Date().toISOString().slice(0, 19).replace(/\D/g, '');
    const path = join(parent, `northlight-${stamp}-${found.length}.${format}`);
    try {
      mkdirSync(parent, { recursive: true });
    } catch (error) {
      throw fileError(error, parent, 'write');
    }
    writeFileAtomic(path, sequenceText(found, format));
    return { path, count: found.length };
  },

  'sequences.tracks': ({ seq }, { project }) => {
    const [found] = table.bySeqs(project.db, [seq]);
    if (found) return tracksOf(found.letters);
    throw new NorthlightError('sequence/unknown', `There is no sequence ${seq} in this project.`);
  },
};

/** What does not fit the model is refused before a job waits for its turn. */
function refuseUnfit(
  {
    className,
    length,
    scheduler,
    guidanceScale,
    steering,
    eta,
  }: Omit<ParsedInput<'sequences.start'>, 'modelId' | 'adapterId'>,
  { name, sequence }: Model,
): void {
  const refuse = (what: string, hint: string) => new NorthlightError('sequences/unfit', `"${name}" ${what}`, hint);
  if (sequence === null) throw refuse('makes no sequences.', 'Choose a model of sequences.');
  const { classes, needsClass, guided, shortest, longest, samplers, defaults } = sequence;
  if (className === null && needsClass) throw refuse('has to be told a class.', `Choose one of ${classes.join(', ')}.`);
  if (className !== null && !classes.includes(className)) {
    throw refuse(
      `has no class "${className}".`,
      classes.length === 0 ? 'Leave it out.' : `It knows ${classes.join(', ')}.`,
    );
  }
  if (length !== null && (length < shortest || length > longest)) {
    const range = shortest === longest ? String(shortest) : `${shortest} to ${longest}`;
    throw refuse(`writes ${range} letters, not ${length}.`, 'Choose a length in that range.');
  }
  if (guidanceScale !== 1 && !guided) throw refuse('cannot be guided towards a class.', 'Leave the guidance at 1.');
  const sampler = scheduler ?? defaults.scheduler;
  if (!samplers.includes(sampler)) {
    throw refuse(`cannot write with the sampler "${sampler}".`, `Choose one of ${samplers.join(', ')}.`);
  }
  const random = sampler.startsWith('masked') || BRANCHING_SAMPLERS.some((s) => s === sampler);
  if (steering && (!random || (sampler === 'ddim' && eta === 0))) {
    throw refuse(
      'cannot be steered with this sampler: it knows only one way on.',
      'Choose one with noise in its steps.',
    );
  }
}
