import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { samplePath } from '#pipelines/engine/blobs.ts';
import type { Handlers } from '#pipelines/engine/context.ts';
import { reproduction } from '#pipelines/engine/contract.ts';
import type { ReproducePayload } from '#pipelines/engine/jobs/payloads.ts';
import { keepPicture } from '#pipelines/engine/keep-picture.ts';
import { recallSettings } from '#pipelines/engine/recall.ts';
import { viewAdapter } from '#pipelines/engine/views.ts';
import { adapters } from '#pipelines/store/adapters.ts';
import { newId } from '#pipelines/store/ids.ts';
import { jobs } from '#pipelines/store/jobs.ts';
import { samples } from '#pipelines/store/samples.ts';

export const pictures: Handlers<'pictures'> = {
  'pictures.settings': async ({ bytes, modelId }, { project, catalog }) => {
    // The image library is loaded when the first picture comes.
    const { readPictureSettings } = await import('#pipelines/images/settings/index.ts');
    const found = await readPictureSettings(bytes);
    if (!found) return null;
    const known = adapters.all(project.db).map((row) => viewAdapter(project, row));
    const hasPicture = (hash: string) => existsSync(samplePath(project.directory, hash));
    return recallSettings(found, { models: await catalog.list(), adapters: known, modelId, hasPicture });
  },
  'pictures.keep': ({ bytes }, { project }) => keepPicture(project.directory, bytes),
  'pictures.reproduce': async ({ sampleId }, { project, catalog, queue }) => {
    const sample = samples.get(project.db, sampleId);
    if (!sample || sample.hidden) {
      throw new NorthlightError(
        'sample/unknown',
        `There is no picture ${sampleId} in the lists of this project.`,
        'Pictures of a blind comparison appear once all its questions are answered.',
      );
    }
    const model = await catalog.usable(sample.modelId);
    const payload: ReproducePayload = {
      picturePath: samplePath(project.directory, sample.hash),
      modelPath: model.path,
      adapters: adapters.all(project.db).map(({ hash, path }) => ({ hash, path: join(project.directory, path) })),
    };
    const job = queue.add({
      id: newId('job'),
      kind: 'reproduce',
      title: `Reproduce “${sample.prompt.slice(0, 60)}”`,
      total: sample.steps,
      payload,
      origin: { modelId: sample.modelId, adapterId: sample.adapterId, adapterA: null, adapterB: null },
      runId: null,
      sessionId: null,
    });
    queue.start();
    return queue.get(job.id);
  },
  'pictures.reproduction': ({ id }, { project }) => {
    const row = jobs.get(project.db, id);
    if (row?.kind !== 'reproduce') {
      throw new NorthlightError('job/unknown', `There is no job ${id} that made a picture again.`);
    }
    return row.state === 'done' ? reproduction.parse(jobs.resultOf(project.db, id)) : null;
  },
};
