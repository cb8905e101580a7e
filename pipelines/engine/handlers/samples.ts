import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { writeFileAtomic } from '#models/files.ts';
import type { EngineContext, Handlers } from '#pipelines/engine/context.ts';
import { exportSamples } from '#pipelines/engine/export-samples.ts';
import type { ScorePayload } from '#pipelines/engine/jobs/payloads.ts';
import { pictureRewards } from '#pipelines/engine/picture-rewards.ts';
import { viewSample } from '#pipelines/engine/views.ts';
import { adapters } from '#pipelines/store/adapters.ts';
import { newId } from '#pipelines/store/ids.ts';
import { parseQuery, type Term } from '#pipelines/store/query.ts';
import { countSamples, findSamples, type KnownNames, sampleSearch } from '#pipelines/store/sample-search.ts';
import { samples as table } from '#pipelines/store/samples.ts';
import { scores } from '#pipelines/store/scores.ts';
import { normaliseTag, tags } from '#pipelines/store/tags.ts';

export const samples: Handlers<'samples'> = {
  'samples.list': (filter, { project }) => {
    const found = table.list(project.db, filter);
    return { samples: found.samples.map(viewSample), total: found.total };
  },

  'samples.find': async ({ query, order, reward, limit, after }, context) => {
    const { db } = context.project;
    const { terms, problems } = parseQuery(query, new Date());
    const search = sampleSearch(terms, await knownNames(context, terms));
    const page = findSamples(db, search, { order, reward, limit, after });
    const seqs = [...page.seqs];
    const next = page.next && [...page.next];
    if (after !== undefined) return { seqs, next, total: null, terms: [], problems: [] };
    return {
      seqs,
      next,
      total: page.next === null && order !== 'best' && order !== 'worst' ? seqs.length : countSamples(db, search),
      terms: filterLabels(query, terms),
      problems: [...problems, ...search.problems],
    };
  },

  'samples.show': ({ seqs }, { project }) => table.bySeqs(project.db, seqs).map(viewSample),

  'samples.star': ({ id, starred }, { project, emit }) => {
    const found = table.get(project.db, id);
    if (!found || found.hidden) {
      throw new NorthlightError(
        'sample/unknown',
        `There is no picture ${id} in the lists of this project.`,
        'Pictures of a blind comparison appear once all its questions are answered.',
      );
    }
    table.star(project.db, id, starred);
    const sample = viewSample({ ...found, starred });
    emit('sample', { jobId: sample.jobId, sample });
    return sample;
  },

  'samples.starAll': ({ seqs, starred }, { project, emit }) => {
    table.starAll(project.db, seqs, starred);
    emit('samplesChanged', { seqs, what: 'marks' });
    return {};
  },

  'samples.tag': ({ seqs, add, remove }, { project, emit }) => {
    tags.change(project.db, seqs, { add: add.map(normaliseTag), remove: remove.map(normaliseTag) });
    emit('samplesChanged', { seqs, what: 'marks' });
    return {};
  },

  'samples.tags': (_input, { project }) => tags.all(project.db),

  'samples.renameTag': ({ from, to }, { project, emit }) => {
    if (tags.rename(project.db, normaliseTag(from), normaliseTag(to))) {
      emit('samplesChanged', { seqs: tags.samplesWith(project.db, normaliseTag(to)), what: 'marks' });
      return {};
    }
    throw new NorthlightError('tag/unknown', `No picture has the tag "${from}".`, 'It may have been renamed already.');
  },

  'samples.trash': ({ seqs }, { project, emit }) => {
    const count = table.trash(project.db, seqs);
    emit('samplesChanged', { seqs, what: 'trashed' });
    return { count };
  },

  'samples.restore': ({ seqs }, { project, emit }) => {
    const count = table.restore(project.db, seqs);
    emit('samplesChanged', { seqs, what: 'restored' });
    return { count };
  },

  'samples.emptyTrash': (_input, { project }) => {
    const before = table.trashSize(project.db);
    for (const hash of table.purge(project.db)) {
      for (const file of [
        join('samples', `${hash}.png`),
        join('trajectories', `${hash}.safetensors`),
        join('thumbnails', `${hash}.webp`),
      ]) {
        rmSync(join(project.directory, file), { force: true });
      }
    }
    const kept = table.trashSize(project.db);
    return { removed: before - kept, kept };
  },

  'samples.rewards': async (_input, { project }) => {
    const scored = new Map(scores.rewards(project.db).map(({ reward, count }) => [reward, count]));
    const known = await pictureRewards();
    return known.map(({ name, description }) => ({ reward: name, description, scored: scored.get(name) ?? 0 }));
  },

  'samples.score': async ({ seqs, reward }, { project, queue }) => {
    const known = (await pictureRewards()).map(({ name }) => name);
    if (!known.includes(reward)) {
      throw new NorthlightError('reward/unknown', `There is no reward "${reward}".`, `Use one of ${known.join(', ')}.`);
    }
    const items = scores.missing(project.db, reward, seqs);
    if (items.length === 0) {
      throw new NorthlightError('score/nothing', `All of these pictures have a score by ${reward} already.`);
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
      title: `Score ${items.length === 1 ? '1 picture' : `${items.length} pictures`} by ${reward}`,
      total: items.length,
      payload,
      origin: { modelId: '', adapterId: null, adapterA: null, adapterB: null },
      runId: null,
      sessionId: null,
    });
    queue.start();
    return queue.get(id);
  },

  'samples.export': ({ seqs, folder }, { project }) =>
    exportSamples(project, table.bySeqs(project.db, seqs).map(viewSample), folder),
};

/** Models are looked into only for a search that names one. */
async function knownNames({ project, catalog }: EngineContext, terms: readonly Term[]): Promise<KnownNames> {
  const models = terms.some(({ condition }) => condition.kind === 'model') ? await catalog.list() : [];
  return {
    models,
    adapters: adapters.all(project.db),
    tags: tags.all(project.db).map(({ name }) => name),
    rewards: scores.rewards(project.db).map(({ reward }) => reward),
  };
}

/** Conditions other than words, as they were typed. */
function filterLabels(query: string, terms: readonly Term[]) {
  return terms
    .filter(({ condition }) => condition.kind !== 'word' && condition.kind !== 'phrase')
    .map(({ from, to }) => ({ label: query.slice(from, to), from, to }));
}
