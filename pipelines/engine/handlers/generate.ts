import { NorthlightError } from '#models/errors.ts';
import type { Handlers } from '#pipelines/engine/context.ts';
import type { GeneratePayload } from '#pipelines/engine/jobs/payloads.ts';
import { adapterPath } from '#pipelines/engine/views.ts';
import { LEARNABLE_SAMPLERS } from '#pipelines/schedulers/names.ts';
import { newId } from '#pipelines/store/ids.ts';

export const generate: Handlers<'generate'> = {
  'generate.start': async ({ modelId, adapterId, ...input }, { project, catalog, queue }) => {
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
    const model = await catalog.usable(modelId);
    const payload: GeneratePayload = {
      ...input,
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

function titleOf(prompts: readonly string[]): string {
  const first = prompts[0] ?? '';
  const short = first.length > 60 ? `${first.slice(0, 59)}…` : first;
  return prompts.length === 1 ? `“${short}”` : `“${short}” and ${prompts.length - 1} more`;
}
