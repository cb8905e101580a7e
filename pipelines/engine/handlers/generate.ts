import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import type { Handlers } from '#pipelines/engine/context.ts';
import type { GeneratePayload } from '#pipelines/engine/jobs/payloads.ts';
import { adapterPath } from '#pipelines/engine/views.ts';
import { LEARNABLE_SAMPLERS } from '#pipelines/schedulers/names.ts';
import { newId } from '#pipelines/store/ids.ts';
import type { Project } from '#pipelines/store/project.ts';
import { samples } from '#pipelines/store/samples.ts';

export const generate: Handlers<'generate'> = {
  'generate.start': async (
    { modelId, adapterId, initImage, strength, mask, ...input },
    { project, catalog, queue },
  ) => {
    if (input.keepTrajectories && input.scheduler === 'ddim' && input.eta === 0) {
      throw new NorthlightError(
        'generate/no-noise',
        'What tuning needs cannot be kept with eta 0: without noise a picture has no probability.',
        'Set eta above 0 (1 is usual), or do not keep trajectories.',
      );
    }
    if (input.keepTrajectories && !LEARNABLE_SAMPLERS.includes(input.scheduler)) {
      throw new NorthlightError(
        'generate/no-log-prob',
        `What tuning needs cannot be kept with the sampler "${input.scheduler}": its steps have no probability.`,
        'Choose DDIM or DDPM, or do not keep trajectories.',
      );
    }
    if (mask !== null && (initImage === null || input.keepTrajectories)) {
      throw new NorthlightError(
        'generate/mask',
        initImage === null
          ? 'A mask says what of a picture may change, and there is no picture to start from.'
          : 'What tuning needs cannot be kept with a mask: what stays is put back after every step.',
        initImage === null ? 'Choose the picture too.' : 'Leave the mask out, or do not keep trajectories.',
      );
    }
    const model = await catalog.usable(modelId);
    const start =
      initImage === null
        ? null
        : {
            picture: picturePath(project, initImage),
            mask: mask === null ? null : picturePath(project, mask),
            strength,
          };
    const payload: GeneratePayload = {
      ...input,
      start,
      modelPath: model.path,
      adapterPath: adapterPath(project, adapterId, modelId),
    };
    const pictures = input.prompts.length * input.count;
    const job = queue.add({
      id: newId('job'),
      kind: 'generate',
      title: `${pictures} × ${titleOf(input.prompts)}`,
      total: pictures,
      payload,
      origin: { modelId, adapterId, adapterA: null, adapterB: null },
      runId: null,
      sessionId: null,
    });
    queue.start();
    return queue.get(job.id);
  },
};

/** The file of a picture of the project, by sample id or hash. */
function picturePath(project: Project, idOrHash: string): string {
  const sample = samples.get(project.db, idOrHash);
  const hash = sample && !sample.hidden ? sample.hash : /^[0-9a-f]{64}$/.test(idOrHash) ? idOrHash : '';
  const path = join(project.directory, 'samples', `${hash}.png`);
  if (hash !== '' && existsSync(path)) return path;
  throw new NorthlightError(
    'generate/no-picture',
    `There is no picture ${idOrHash.slice(0, 12)} in this project to start from.`,
    'Choose one of its pictures, or leave the start out.',
  );
}

function titleOf(prompts: readonly string[]): string {
  const first = prompts[0] ?? '';
  const short = first.length > 60 ? `${first.slice(0, 59)}…` : first;
  return prompts.length === 1 ? `“${short}”` : `“${short}” and ${prompts.length - 1} more`;
}
