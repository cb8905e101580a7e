import { existsSync } from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import type { Handlers } from '#pipelines/engine/context.ts';
import type { Model, ParsedInput, SteeringInput } from '#pipelines/engine/contract.ts';
import { fieldsOf } from '#pipelines/engine/fields.ts';
import type { GeneratePayload } from '#pipelines/engine/jobs/payloads.ts';
import { wantModel } from '#pipelines/engine/jobs/wanted-model.ts';
import { pictureRewards } from '#pipelines/engine/picture-rewards.ts';
import { readPlain } from '#pipelines/engine/plain-values.ts';
import { readGuided } from '#pipelines/engine/read-guided.ts';
import { refuseMethod } from '#pipelines/engine/refuse-method.ts';
import { rewardLabel } from '#pipelines/engine/reward-label.ts';
import { sequenceRewardsToList } from '#pipelines/engine/sequence-rewards.ts';
import { adapterPath } from '#pipelines/engine/views.ts';
import { COMBINATION_WORDS, COMBINATIONS } from '#pipelines/rewards/combine.ts';
import { BRANCHING_SAMPLERS, ETA_SAMPLERS, LEARNABLE_SAMPLERS } from '#pipelines/schedulers/names.ts';
import { newId } from '#pipelines/store/ids.ts';
import type { Project } from '#pipelines/store/project.ts';
import { samples } from '#pipelines/store/samples.ts';

/** A model that is opened before anybody has asked for a picture may take this part of the free memory: one in … */
const WARM_SHARE = 4;

export const generate: Handlers<'generate'> = {
  'generate.start': async (
    { modelId, adapterId, initImage, strength, mask, ...input },
    { project, catalog, queue },
  ) => {
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
    if (model.sequence !== null) {
      throw new NorthlightError(
        'generate/sequences',
        `"${model.name}" writes sequences, not pictures.`,
        'Choose a model of pictures.',
      );
    }
    refuseSampler(input, model);
    refuseClipSkip(input.clipSkip, model);
    if (input.steering) await refuseSteering(input, input.steering, initImage !== null);
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

  'generate.warm': async ({ modelId, adapterId, clipSkip }, { project, catalog, host, threads }) => {
    const { path, sizeBytes, sampling } = await catalog.usable(modelId);
    const adapter = adapterPath(project, adapterId, modelId);
    const makesPictures = sampling !== null;
    if (makesPictures && sizeBytes <= freemem() / WARM_SHARE) host.warm(wantModel(path, adapter, threads, clipSkip));
    return {};
  },

  'generate.estimate': async ({ prompts, count, steps, steering }) => {
    const pictures = prompts.length * count;
    const plainCalls = pictures * steps;
    if (steering === null) return { plainCalls, steered: null };
    const { decodingWork } = await import('#pipelines/decoding/index.ts');
    const work = decodingWork(steering.decoder, steering.options, steps);
    const steered = work && {
      denoiserCalls: pictures * work.denoiserCalls,
      rewardCalls: pictures * work.rewardCalls,
    };
    return { plainCalls, steered };
  },

  'generate.guided': ({ jobId, index }, { project, queue }) =>
    readGuided(project.directory, queue.get(jobId).id, index),

  'generate.plain': ({ jobId }, { project, queue }) => readPlain(project.directory, queue.get(jobId).id),

  'generate.steering': async ({ of }, { bundledModels }) => {
    const { DECODERS, isAheadOption } = await import('#pipelines/decoding/index.ts');
    const decoders = [...DECODERS.values()].map((decoder) => {
      const { name, title, description, source, countKey, options, needsGradient = false } = decoder;
      const hidden = (key: string) => NOT_OF_PICTURES.has(key) || isAheadOption(decoder, key);
      const fields = fieldsOf(options).filter(({ key }) => of === 'sequences' || !hidden(key));
      return { name, title, description, source, countKey, fields, needsGradient };
    });
    const rewards = of === 'sequences' ? await sequenceRewardsToList(bundledModels) : await pictureRewards();
    return {
      decoders,
      rewards: rewards.map((r) => ({
        ...{ reward: r.name, label: rewardLabel(r.name), description: r.description },
        hasGradient: hasGradient(r),
        higherIsBetter: !('higherIsBetter' in r) || r.higherIsBetter !== false,
      })),
      combinations: COMBINATIONS.map((name) => ({ name, ...COMBINATION_WORDS[name] })),
    };
  },
};

/** Options of decoders that only sequences have, or that generating decides itself. */
const NOT_OF_PICTURES = new Set(['draws', 'sharedReveal', 'output', 'locked']);

/** Whether a reward is a network, or a formula with a slope. */
const hasGradient = (reward: { readonly name: string }): boolean =>
  reward.name.startsWith('onnx:') || ('graph' in reward && reward.graph !== undefined);

type Asked = Pick<ParsedInput<'generate.start'>, 'scheduler' | 'eta' | 'keepTrajectories'>;

const isSilent = ({ scheduler, eta }: Asked) => eta === 0 && ETA_SAMPLERS.includes(scheduler);

/** @throws {NorthlightError} `generate/clip-skip` */
function refuseClipSkip(clipSkip: number, { name, sampling }: Model): void {
  const most = sampling?.clipSkips ?? 1;
  if (clipSkip <= most) return;
  throw new NorthlightError(
    'generate/clip-skip',
    `"${name}" cannot be read with clip skip ${clipSkip}: ${most === 1 ? 'its text encoders give no earlier layers' : `${most} is the most`}.`,
    most === 1
      ? 'Export its text encoder with the states of its layers (output_hidden_states), or leave the clip skip at 1.'
      : `Choose 1 to ${most}.`,
  );
}

/** @throws {NorthlightError} `generate/sampler`, `generate/no-log-prob`, `generate/no-noise`. */
function refuseSampler(input: Asked, { name, sampling }: Model): void {
  if (sampling !== null && !sampling.samplers.includes(input.scheduler)) {
    throw new NorthlightError(
      'generate/sampler',
      `"${name}" cannot draw with the sampler "${input.scheduler}".`,
      `Choose one of ${sampling.samplers.join(', ')}.`,
    );
  }
  if (!input.keepTrajectories) return;
  if (!LEARNABLE_SAMPLERS.includes(input.scheduler)) {
    throw new NorthlightError(
      'generate/no-log-prob',
      `What tuning needs cannot be kept with the sampler "${input.scheduler}": its steps have no probability.`,
      `Choose ${LEARNABLE_SAMPLERS.filter((s) => sampling?.samplers.includes(s) ?? true).join(' or ')}, or do not keep trajectories.`,
    );
  }
  if (isSilent(input)) {
    throw new NorthlightError(
      'generate/no-noise',
      'What tuning needs cannot be kept with eta 0: without noise a picture has no probability.',
      'Set eta above 0 (1 is usual), or do not keep trajectories.',
    );
  }
}

/** @throws {NorthlightError} `generate/steering`, `reward/unknown`, `decode/…`. */
async function refuseSteering(input: Asked, steering: SteeringInput, starts: boolean) {
  const refuse = (message: string, hint: string) => new NorthlightError('generate/steering', message, hint);
  if (input.keepTrajectories || starts) {
    const what = starts ? 'a picture to start from' : 'keeping what tuning needs';
    throw refuse(`Steering does not go with ${what}.`, 'Leave one of them out.');
  }
  if (!BRANCHING_SAMPLERS.includes(input.scheduler) || isSilent(input)) {
    throw refuse(
      `Steering chooses between different ways on, and "${input.scheduler}"${isSilent(input) ? ' with eta 0' : ''} knows only one.`,
      `Choose ${BRANCHING_SAMPLERS.join(', ')}, with eta above 0.`,
    );
  }
  const known = await pictureRewards();
  const names = known.map(({ name }) => name);
  const unknown = steering.rewards.find(({ reward }) => !names.includes(reward));
  if (unknown) {
    const { reward } = unknown;
    throw new NorthlightError('reward/unknown', `There is no reward "${reward}".`, `Use one of ${names.join(', ')}.`);
  }
  await refuseMethod(steering, (reward) => hasGradient(known.find(({ name }) => name === reward)!));
}

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
