import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { writeFileAtomic } from '#models/files.ts';
import { winnerOf } from '#pipelines/engine/blind.ts';
import type { AlgorithmInfo, EngineContext, Handlers } from '#pipelines/engine/context.ts';
import type { ParsedInput } from '#pipelines/engine/contract.ts';
import { fieldsOf } from '#pipelines/engine/fields.ts';
import { type EstimatePayload, jobEvents, type TunePayload } from '#pipelines/engine/jobs/payloads.ts';
import { findRun, findSession, viewPlan, viewRun } from '#pipelines/engine/views.ts';
import { newId } from '#pipelines/store/ids.ts';
import type { Project } from '#pipelines/store/project.ts';
import { runs } from '#pipelines/store/runs.ts';
import { type SampleRow, samples } from '#pipelines/store/samples.ts';
import { votes } from '#pipelines/store/sessions.ts';

const STRIP_PROMPTS = 4;

export const tune: Handlers<'tune'> = {
  'tune.algorithms': async (_input, context) =>
    Object.values(await context.algorithms()).map(({ name, title, description, source, schema }) => ({
      name,
      title,
      description,
      source,
      fields: fieldsOf(schema),
    })),

  'tune.estimate': async (input, context) => {
    const { settings, model, pairs, stripPrompts } = await prepared(input, context);
    const payload: EstimatePayload = {
      algorithm: input.algorithm,
      modelPath: model.path,
      config: settings,
      trajectoryPath: pairs[0]!.winner.trajectoryPath,
      stripPrompts: stripPrompts.length,
      provider: context.provider,
    };
    return viewPlan(jobEvents.planned.parse(await context.ask('estimate', payload)));
  },

  'tune.start': async (input, context) => {
    const { algorithm, modelId, sessionIds, name } = input;
    const { project, queue, emit } = context;
    const { found, settings, model, pairs, stripPrompts } = await prepared(input, context);
    const [runId, jobId] = [newId('run'), newId('job')];
    const directory = join('runs', runId);
    const payload: TunePayload = {
      runId,
      runDirectory: join(project.directory, directory),
      algorithm,
      modelPath: model.path,
      config: settings,
      pairs,
      stripPrompts,
      provider: context.provider,
    };
    const title = name || `${found.title} on ${pairs.length} pairs`;
    mkdirSync(join(payload.runDirectory, 'checkpoints'), { recursive: true });
    mkdirSync(join(payload.runDirectory, 'samples'), { recursive: true });
    const record = {
      algorithm,
      model: { name: model.name, hash: await context.catalog.hash(modelId) },
      sessionIds,
      pairs: pairs.length,
      config: settings,
    };
    writeFileAtomic(join(payload.runDirectory, 'config.json'), `${JSON.stringify(record, null, 2)}\n`);
    const totalSteps = typeof settings.steps === 'number' ? settings.steps : 0;
    project.db.tx(() => {
      queue.add({
        id: jobId,
        kind: 'tune',
        title,
        total: totalSteps,
        payload,
        origin: { modelId, adapterId: null, adapterA: null, adapterB: null },
        runId,
        sessionId: null,
      });
      runs.add(project.db, {
        id: runId,
        jobId,
        algorithm,
        modelId,
        name: title,
        totalSteps,
        directory,
        config: settings,
      });
    });
    queue.start();
    const run = viewRun(project, findRun(project, runId));
    emit('run', run);
    return run;
  },
};

/** What the settings of a run are about. @throws NorthlightError `tune/unknown-algorithm`, `tune/no-votes`, and those below */
async function prepared(
  { algorithm, modelId, sessionIds, config }: ParsedInput<'tune.estimate'>,
  context: EngineContext,
) {
  const known = await context.algorithms();
  const found = known[algorithm];
  if (!found) {
    throw new NorthlightError(
      'tune/unknown-algorithm',
      `There is no algorithm "${algorithm}".`,
      `Choose one of: ${Object.keys(known).join(', ')}.`,
    );
  }
  const settings = parseConfig(found, config);
  const model = await context.catalog.usable(modelId);
  const pairs = sessionIds.flatMap((id) => pairsOf(context.project, id, modelId));
  if (pairs.length === 0) {
    throw new NorthlightError(
      'tune/no-votes',
      'These sessions hold no decided vote: ties, skips and "both bad" teach nothing here.',
      'Answer some questions first.',
    );
  }
  const stripPrompts = [...new Set(pairs.map((pair) => pair.winner.prompt))].slice(0, STRIP_PROMPTS);
  return { found, settings, model, pairs, stripPrompts };
}

/** @throws NorthlightError `tune/bad-setting` */
function parseConfig({ name, schema }: AlgorithmInfo, config: Record<string, unknown>): Record<string, unknown> {
  const unknown = Object.keys(config).find((key) => !(key in schema.shape));
  if (unknown !== undefined) {
    throw new NorthlightError(
      'tune/bad-setting',
      `${name} has no setting "${unknown}".`,
      `Its settings are: ${Object.keys(schema.shape).join(', ')}.`,
    );
  }
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new NorthlightError(
    'tune/bad-setting',
    `The setting "${issue?.path.join('.') ?? ''}" of ${name} is not usable: ${issue?.message ?? 'invalid'}.`,
    'Correct it, or leave it out to use its default.',
  );
}

/**
 * Winner and loser of each decided vote; the best of n beats each other picture shown with it. Void votes, ties, skips and
 * "both bad" are left out.
 * @throws NorthlightError `tune/other-model`, `tune/no-trajectories`
 */
function pairsOf(project: Project, sessionId: string, modelId: string): TunePayload['pairs'] {
  const session = findSession(project, sessionId);
  if (session.modelId !== modelId) {
    throw new NorthlightError(
      'tune/other-model',
      `The votes of "${session.name}" are about pictures of another model.`,
      'Tune the model that made the pictures, or choose other sessions.',
    );
  }
  const pool = new Map(samples.ofSession(project.db, sessionId).map((sample) => [sample.id, sample]));
  const pairs = votes.ofSession(project.db, sessionId).flatMap((vote) => {
    const winner = pool.get(winnerOf(vote) ?? '');
    if (!winner) return [];
    const losers = vote.slots.filter((id) => id !== winner.id).flatMap((id) => pool.get(id) ?? []);
    return losers.map((loser) => ({ winner, loser }));
  });
  const bare = new Set(pairs.flatMap(({ winner, loser }) => [winner, loser]).filter((s) => !s.hasTrajectory));
  if (bare.size > 0) {
    throw new NorthlightError(
      'tune/no-trajectories',
      `${bare.size} pictures of "${session.name}" were made without what tuning needs.`,
      'Generate them with "keep trajectories" on and eta above 0, then rank those.',
    );
  }
  return pairs.map(({ winner, loser }) => ({ winner: fileOf(project, winner), loser: fileOf(project, loser) }));
}

type TrajectorySample = z.output<
  typeof import('#pipelines/engine/jobs/payloads.ts').tunePayload
>['pairs'][number]['winner'];

function fileOf(project: Project, { hash, prompt }: SampleRow): TrajectorySample {
  return { hash, prompt, trajectoryPath: join(project.directory, 'trajectories', `${hash}.safetensors`) };
}
