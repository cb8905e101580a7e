import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { readAt, replaceFile, sha256File, withFile } from '#models/files.ts';
import { adapters } from '#pipelines/store/adapters.ts';
import { newId } from '#pipelines/store/ids.ts';
import type { JobRow } from '#pipelines/store/jobs.ts';
import { modelReports } from '#pipelines/store/model-reports.ts';
import type { Project } from '#pipelines/store/project.ts';
import { runs, strips } from '#pipelines/store/runs.ts';
import { samples } from '#pipelines/store/samples.ts';
import { scores } from '#pipelines/store/scores.ts';
import { sequences } from '#pipelines/store/sequences.ts';
import { sessions, trials } from '#pipelines/store/sessions.ts';
import { addBlindSample } from './blind.ts';
import type { EngineContext } from './context.ts';
import { dryStepReport } from './contract.ts';
import {
  comparePayload,
  dryStepPayload,
  generatePayload,
  jobEvents,
  tuneResult,
  verifyResult,
} from './jobs/payloads.ts';
import { type SequenceBatch, sequenceBatch, sequencesPayload } from './jobs/sequence-payload.ts';
import { rewardLabel } from './reward-label.ts';
import { viewPlan, viewRun, viewSample, viewSequence, viewSession } from './views.ts';

const COPY_BYTES = 1 << 22;

type Emit = EngineContext['emit'];
type SampleFile = z.output<typeof jobEvents.sampleFile>;

const hash = z.string().regex(/^[0-9a-f]{64}$/);

/** What a job announces goes into the database first, then to the windows. Topics nobody knows are ignored. */
export function handleJobEvent(project: Project, emit: Emit, job: JobRow, topic: string, data: unknown): void {
  switch (topic) {
    case 'sampleFile':
      sampleFile(project, emit, job, jobEvents.sampleFile.extend({ hash }).parse(data));
      return;
    case 'sequences':
      addSequences(project, emit, job, sequenceBatch.parse(data));
      return;
    case 'previewFile':
      // A preview of a blind comparison would show pictures outside their question.
      if (job.kind !== 'compare') emit('preview', { jobId: job.id, ...jobEvents.previewFile.parse(data) });
      return;
    case 'steered':
      emit('steered', { jobId: job.id, ...jobEvents.steered.parse(data) });
      return;
    case 'planned':
      if (job.runId !== null) emit('planned', { runId: job.runId, plan: viewPlan(jobEvents.planned.parse(data)) });
      return;
    case 'metrics': {
      if (job.runId === null) return;
      const point = jobEvents.metrics.parse(data);
      runs.step(project.db, job.runId, point.step);
      emit('metrics', { runId: job.runId, point });
      return;
    }
    case 'scores': {
      const { reward, values, of } = jobEvents.scores.parse(data);
      if (of === 'sequences') {
        sequences.putScores(project.db, reward, values);
        emit('sequencesScored', { reward: rewardLabel(reward), values });
        return;
      }
      scores.put(project.db, reward, values);
      emit('samplesChanged', { seqs: values.map(([seq]) => seq), what: 'scores' });
      return;
    }
    case 'strip': {
      if (job.runId === null) return;
      const frame = jobEvents.strip.parse(data);
      strips.put(project.db, job.runId, frame);
      emit('strip', { runId: job.runId, frame });
      return;
    }
  }
}

function sampleFile(project: Project, emit: Emit, job: JobRow, file: SampleFile): void {
  const { db } = project;
  const known = samples.at(db, job.id, file.side, file.position);
  if (known) {
    if (known.hash !== file.hash) samples.replace(db, known.id, { hash: file.hash, hasTrajectory: file.trajectory });
    return;
  }
  const compare = job.kind === 'compare';
  const payload = compare ? comparePayload.parse(job.payload) : generatePayload.parse(job.payload);
  const adapterOfSide = { A: job.origin.adapterA, B: job.origin.adapterB };
  const id = newId('sample');
  db.tx(() => {
    samples.add(db, {
      id,
      hash: file.hash,
      prompt: file.prompt,
      negativePrompt: payload.negativePrompt,
      modelId: job.origin.modelId,
      adapterId: file.side === null ? job.origin.adapterId : adapterOfSide[file.side],
      seed: file.seed,
      index: file.index,
      steps: payload.steps,
      scheduler: payload.scheduler,
      eta: payload.eta,
      guidanceScale: payload.guidanceScale,
      width: file.width,
      height: file.height,
      hasTrajectory: file.trajectory,
      jobId: job.id,
      position: file.position,
      side: file.side,
      hidden: compare,
      start: 'start' in payload && payload.start ? startOf(payload.start) : null,
      clipSkip: ('clipSkip' in payload ? payload.clipSkip : null) ?? 1,
    });
    const added = samples.get(db, id);
    for (const { reward, value } of added ? file.scores : []) scores.put(db, reward, [[added!.seq, value]]);
    const session = compare && job.sessionId !== null ? sessions.get(db, job.sessionId) : undefined;
    if (added && session) addBlindSample(db, session, added);
  });
  const added = samples.get(db, id);
  if (added && !added.hidden) emit('sample', { jobId: job.id, sample: viewSample(added) });
  const session = job.sessionId === null ? undefined : sessions.get(db, job.sessionId);
  if (session) emit('session', viewSession(session));
}

/** Files of a project are called by their content. */
function startOf({ picture, mask, strength }: NonNullable<z.output<typeof generatePayload>['start']>) {
  const hashIn = (path: string) => hash.parse(basename(path, '.png'));
  return { picture: hashIn(picture), mask: mask === null ? null : hashIn(mask), strength };
}

function addSequences(project: Project, emit: Emit, job: JobRow, batch: SequenceBatch): void {
  const { db } = project;
  const { className, seed, eta, guidanceScale } = sequencesPayload.parse(job.payload).sequences;
  const { modelId, adapterId } = job.origin;
  const { steps, scheduler } = batch;
  const shared = { className, modelId, adapterId, seed, steps, scheduler, eta, guidanceScale, jobId: job.id };
  const added = db.tx(() =>
    batch.sequences.flatMap(({ index, letters, scores: own }) => {
      const { seq, isNew } = sequences.add(db, { ...shared, index, letters });
      for (const { reward, value } of isNew ? own : []) sequences.putScores(db, reward, [[seq, value]]);
      return isNew ? [seq] : [];
    }),
  );
  if (added.length > 0) emit('sequences', { jobId: job.id, sequences: sequences.bySeqs(db, added).map(viewSequence) });
}

/** Runs inside the transaction that marks the job done. */
export function handleJobDone(project: Project, job: JobRow, result: unknown): void {
  if (job.kind === 'tune' && job.runId !== null) keepAdapter(project, job, job.runId, tuneResult.parse(result));
  if (job.kind === 'dry-step') {
    const { modelPath, stamp } = dryStepPayload.parse(job.payload);
    modelReports.putDryStep(project.db, modelPath, stamp, dryStepReport.parse(result));
  }
  if (job.kind === 'verify' && job.origin.adapterId !== null) {
    adapters.verified(project.db, job.origin.adapterId, verifyResult.parse(result).difference);
  }
}

/** The adapter of a finished run is copied to `adapters/<hash>.safetensors`: runs may be deleted, adapters stay. */
function keepAdapter(project: Project, _job: JobRow, runId: string, result: z.output<typeof tuneResult>): void {
  const run = runs.get(project.db, runId);
  if (!run) throw new NorthlightError('run/unknown', `The run ${runId} of this job is not in the project.`);
  const source = isAbsolute(result.adapterPath)
    ? result.adapterPath
    : join(project.directory, run.directory, result.adapterPath);
  const path = join('adapters', `${hash.parse(result.hash)}.safetensors`);
  copyWhole(source, join(project.directory, path), result.hash);
  adapters.put(project.db, {
    id: newId('adapter'),
    name: run.name,
    modelId: run.modelId,
    runId,
    hash: result.hash,
    path,
    rank: result.rank,
    verifiedDifference: result.verifiedDifference,
  });
  runs.step(project.db, runId, result.steps);
}

function copyWhole(source: string, target: string, expected: string): void {
  if (existsSync(target) && sha256File(target) === expected) return;
  replaceFile(target, (write) => {
    const digest = createHash('sha256');
    withFile(source, (fd, size) => {
      for (let offset = 0; offset < size; offset += COPY_BYTES) {
        const bytes = readAt(fd, offset, Math.min(COPY_BYTES, size - offset), source);
        digest.update(bytes);
        write(bytes);
      }
    });
    if (digest.digest('hex') === expected) return;
    throw new NorthlightError(
      'adapter/changed',
      `${source} does not have the hash its job announced.`,
      'Resume the run to write it again from its last checkpoint.',
    );
  });
}

/** A comparison that was cancelled has as many questions as it has complete pairs. */
export function endBlindEarly(project: Project, emit: Emit, sessionId: string | null): void {
  if (sessionId === null) return;
  const { db } = project;
  db.tx(() => {
    const planned = trials.ofSession(db, sessionId).length;
    sessions.plan(db, sessionId, planned);
    if ((sessions.get(db, sessionId)?.votes ?? 0) >= planned) samples.reveal(db, sessionId);
  });
  const session = sessions.get(db, sessionId);
  if (session) emit('session', viewSession(session));
}

/** Emits what changed with a job's state: its run. */
export function emitRun(project: Project, emit: Emit, runId: string | null): void {
  const run = runId === null ? undefined : runs.get(project.db, runId);
  if (run) emit('run', viewRun(project, run));
}
