import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { pictureSource } from '#pipelines/bank/picture-source.ts';
import { samplePath, storeBlob } from '#pipelines/engine/blobs.ts';
import type { JobContext } from '#pipelines/engine/job-protocol.ts';
import type { GuidedRecord } from '#pipelines/engine/sequence-contract.ts';
import { encodePng } from '#pipelines/images/images.ts';
import {
  generatePictures,
  type Picture,
  type PictureRequest,
  type SamplingSettings,
} from '#pipelines/sampling/generate.ts';
import { readStart, type StartFiles } from '#pipelines/sampling/initial-picture.ts';
import { sizeOf } from '#pipelines/sampling/pipeline.ts';
import { writeTrajectory } from '#pipelines/sampling/trajectory.ts';
import { stopIfAsked } from './control.ts';
import { createGuidedLog, type GuidedLog, takeTree } from './guided-log.ts';
import { type DrawSheet, sheetDrawer } from './guided-sheet.ts';
import { openJournal } from './journal.ts';
import { createKeptModel } from './kept-model.ts';
import { jobEvents } from './payloads.ts';
import { openSteerBy } from './steer-by.ts';
import type { SampleScore, SteeringPayload } from './steering-payload.ts';
import { wantModel } from './wanted-model.ts';
import { withKept } from './with-kept.ts';

type SampleFile = z.output<typeof jobEvents.sampleFile>;

/** One set of pictures by one version of a model. */
export interface PictureSet {
  readonly modelPath: string;
  readonly adapterPath: string | null;
  readonly side: 'A' | 'B' | null;
  /** Default 1. */
  readonly clipSkip?: number;
  readonly settings: SamplingSettings;
  readonly requests: readonly PictureRequest[];
  /** Picture files that all of them start from. */
  readonly start?: StartFiles | null;
  readonly steering?: SteeringPayload | null;
}

const PREVIEW_EVERY = 3;
/** Previews are a courtesy: at most this many a second. */
const PREVIEW_HZ = 5;

/**
 * Makes sets of pictures one after another. Each finished picture (and trajectory) is on disk before it enters the journal
 * and is announced; a resumed job announces those of its journal again and makes the rest.
 */
export async function makePictures(sets: readonly PictureSet[], context: JobContext): Promise<{ count: number }> {
  const journal = openJournal(context.project, context.jobId, jobEvents.sampleFile);
  const key = (side: string | null, position: number) => `${side}:${position}`;
  const done = new Set<string>();
  for (const file of journal.finished) {
    if (!existsSync(samplePath(context.project, file.hash))) continue;
    done.add(key(file.side, file.position));
    context.event('sampleFile', file);
  }
  const pictures = sets.reduce((n, s) => n + s.requests.length, 0);
  const steps = sets[0]?.settings.steps ?? 1;
  const report = (extra = 0) =>
    context.progress(
      `picture ${Math.min(done.size + 1, pictures)} of ${pictures}`,
      done.size * steps + extra,
      pictures * steps,
    );
  const models = context.models ?? createKeptModel();
  try {
    for (const set of sets) {
      const missing = set.requests
        .map((request, position) => ({ request, position }))
        .filter(({ position }) => !done.has(key(set.side, position)));
      if (missing.length === 0) continue;
      stopIfAsked(context);
      context.progress('opening the model', done.size * steps, pictures * steps);
      const pipeline = await models.open(wantModel(set.modelPath, set.adapterPath, context.threads, set.clipSkip));
      const prompts = set.requests.map(({ prompt }) => prompt);
      const by = set.steering
        ? await openSteerBy(set.steering, () => pictureSource(pipeline, set.settings, prompts), context)
        : null;
      try {
        const drawSheet = sheetDrawer(context.project);
        const log =
          by && createGuidedLog(context.project, context.jobId, { reward: by.label, decoder: by.steering.name });
        let drawing = false;
        let lastPreview = 0;
        const start = set.start && (await readStart(set.start, sizeOf(pipeline.folder, set.settings)));
        const stream = generatePictures({
          pipeline,
          ...(start ? { start } : {}),
          // One at a time: its candidates are a batch already.
          ...(by ? { batch: 1, steered: by } : {}),
          settings: set.settings,
          requests: missing.map((m) => m.request),
          previewEvery: PREVIEW_EVERY,
          checkpoint: () => {
            stopIfAsked(context);
            if (!drawing) report();
            drawing = true;
          },
          onStep: async ({ positions, step, total, preview, candidates }) => {
            report(positions.length * step);
            for (const [row, compared] of candidates?.entries() ?? []) {
              const { request, position } = missing[positions[row]!]!;
              const taken = log?.take(position, step, total, compared);
              if (!taken) continue;
              const { guesses, ...rest } = taken;
              const shown = guesses();
              const told = { ...rest, guesses: null, sheet: await drawSheet(shown, shown.length) };
              log?.keep(position, told);
              const picture = { reward: by?.label ?? '', prompt: request.prompt, index: position };
              context.event('steered', { ...picture, total, ...told });
            }
            const now = performance.now();
            if (!preview || step === total || now - lastPreview < 1000 / PREVIEW_HZ) return;
            lastPreview = now;
            for (const [row, p] of positions.entries()) {
              const { request, position } = missing[p]!;
              const small = preview(row);
              if (!small) continue;
              const png = await encodePng(small.rgb, small.width, small.height);
              const hash = storeBlob(context.project, png);
              context.event('previewFile', { hash, prompt: request.prompt, index: position, step, total });
            }
          },
        });
        const finished = () => (done.size === 0 ? '' : `${done.size} of ${pictures} pictures`);
        await withKept(finished, async () => {
          for await (const picture of stream) {
            const { rgb, width, height, prompt } = picture;
            const item = { kind: 'image' as const, rgb, width, height, prompt };
            const scores = (await by?.scoresOf(item, picture.reward!)) ?? [];
            const file = storePicture(context.project, picture, set, missing[picture.position]!.position, scores);
            await finishLog(log, file.position, picture, drawSheet);
            journal.append(file);
            done.add(key(file.side, file.position));
            context.event('sampleFile', file);
            report();
          }
        });
      } finally {
        await by?.close();
      }
    }
    return { count: done.size };
  } finally {
    journal.close();
    if (!context.models) await models.close();
  }
}

/** Places of a tree in a row of its sheet. */
const SHEET_COLUMNS = 16;

async function finishLog(
  log: GuidedLog | null | undefined,
  position: number,
  { tree, reward }: Picture,
  draw: DrawSheet,
): Promise<void> {
  if (!log) return;
  let told: GuidedRecord['tree'] = null;
  if (tree !== null) {
    const { places, left } = takeTree(tree);
    const sheet = await draw(
      places.map((place) => place.guess()),
      SHEET_COLUMNS,
    );
    const bare = places.map(({ guess: _, ...place }) => ({ ...place, guess: null }));
    told = { places: bare, left, sheet: sheet && { ...sheet, columns: SHEET_COLUMNS } };
  }
  log.finish(position, told, reward);
}

function storePicture(
  project: string,
  picture: Picture,
  set: PictureSet,
  position: number,
  scores: SampleScore[],
): SampleFile {
  const hash = storeBlob(project, picture.png);
  if (picture.trajectory)
    writeTrajectory(
      join(project, 'trajectories', `${hash}.safetensors`),
      picture.trajectory.data,
      picture.trajectory.origin,
    );
  return {
    hash,
    prompt: picture.prompt,
    position,
    seed: set.settings.seed,
    index: picture.index,
    width: picture.width,
    height: picture.height,
    trajectory: picture.trajectory !== null,
    side: set.side,
    scores,
  };
}
