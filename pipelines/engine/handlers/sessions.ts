import { NorthlightError } from '#models/errors.ts';
import type { EngineContext, Handlers } from '#pipelines/engine/context.ts';
import type { ParsedInput, Question, Session } from '#pipelines/engine/contract.ts';
import { findSession, viewSession } from '#pipelines/engine/views.ts';
import { newId } from '#pipelines/store/ids.ts';
import type { Project } from '#pipelines/store/project.ts';
import { type SampleRow, samples } from '#pipelines/store/samples.ts';
import {
  type NewVote,
  type SessionRow,
  type TrialRow,
  sessions as table,
  trials,
  votes,
} from '#pipelines/store/sessions.ts';

export const sessions: Handlers<'sessions'> = {
  'sessions.list': (_input, { project }) => table.all(project.db).map(viewSession),

  'sessions.create': ({ name, mode, jobIds, seqs, seed }, context) => {
    const { db } = context.project;
    const ofJobs = jobIds.flatMap((id) => {
      context.queue.get(id);
      return samples.ofJob(db, id);
    });
    const pool = [...ofJobs, ...samples.bySeqs(db, seqs)].filter((sample) => !sample.hidden && !sample.trashed);
    const modelId = oneModel(pool);
    const id = newId('session');
    db.tx(() => {
      table.add(db, { id, kind: 'rank', mode, name, modelId, adapterA: null, adapterB: null, seed, planned: null });
      for (const sample of pool) table.addSample(db, id, sample.id);
    });
    return announce(context, id);
  },

  'sessions.question': ({ id }, context) => currentQuestion(context, findSession(context.project, id)),

  'sessions.vote': (input, context) => {
    const { db } = context.project;
    const trial = trials.get(db, input.trialId);
    if (!trial) throw new NorthlightError('vote/unknown-question', `There is no question ${input.trialId}.`);
    const before = findSession(context.project, trial.sessionId);
    const vote = voteOf(before, trial, input);
    const given = votes.ofTrial(db, trial.id);
    if (given && (given.outcome !== vote.outcome || given.winnerId !== vote.winnerId)) {
      throw new NorthlightError(
        'vote/already-answered',
        'This question already has another answer.',
        'Undo that answer first.',
      );
    }
    // Committed, and so on the disk, before anything else happens.
    if (!given) {
      db.tx(() => {
        votes.add(db, vote);
        if (before.planned !== null && before.votes + 1 >= before.planned) samples.reveal(db, before.id);
      });
    }
    const session = announce(context, before.id);
    return { session, next: currentQuestion(context, findSession(context.project, before.id)) };
  },

  'sessions.undo': ({ id }, context) => {
    const { db } = context.project;
    findSession(context.project, id);
    const last = votes.ofSession(db, id).at(-1);
    if (last) votes.void(db, last.seq);
    const session = announce(context, id);
    const row = findSession(context.project, id);
    const trial = last && trials.get(db, last.trialId);
    return { session, question: trial ? questionOf(context, row, trial) : currentQuestion(context, row) };
  },

  'sessions.standings': ({ id }, { project, ranking }) => {
    const session = findSession(project, id);
    const given = votes.ofSession(project.db, id);
    return {
      standings: ranking.standings(samples.ofSession(project.db, id), given),
      heldOutAccuracy: ranking.heldOutAccuracy(session, given),
      votes: session.votes,
      enough: ranking.enough(session, given),
    };
  },
};

function announce({ project, emit }: EngineContext, id: string): Session {
  const session = viewSession(findSession(project, id));
  emit('session', session);
  return session;
}

/** @throws NorthlightError `session/too-few`, `session/mixed-models` */
function oneModel(pool: readonly SampleRow[]): string {
  const perPrompt = Map.groupBy(pool, (sample) => sample.prompt);
  if (![...perPrompt.values()].some((group) => group.length >= 2)) {
    throw new NorthlightError(
      'session/too-few',
      'No prompt has two pictures that could be compared.',
      'Generate at least two pictures of one prompt, or choose more jobs.',
    );
  }
  const models = new Set(pool.map((sample) => sample.modelId));
  const [modelId] = models;
  if (modelId === undefined || models.size > 1) {
    throw new NorthlightError(
      'session/mixed-models',
      'These pictures come from different models.',
      'Choose pictures of one model; to compare models or adapters, start a comparison.',
    );
  }
  return modelId;
}

/** The first unanswered question; a ranking session that has none gets a new one, stored before it is shown. */
function currentQuestion(context: EngineContext, session: SessionRow): Question | null {
  const { db } = context.project;
  const open = trials.open(db, session.id);
  if (open) return questionOf(context, session, open);
  if (session.kind === 'blind') return null;
  const pool = samples.ofSession(db, session.id);
  const slots = context.ranking.nextSlots(session, pool, votes.ofSession(db, session.id));
  const prompt = pool.find((sample) => sample.id === slots[0])?.prompt;
  if (prompt === undefined) return null;
  const number = (trials.ofSession(db, session.id).at(-1)?.number ?? 0) + 1;
  const trial = { id: newId('trial'), sessionId: session.id, number, prompt, slots: [...slots] };
  trials.add(db, trial);
  return questionOf(context, session, trial);
}

function questionOf({ project, ranking }: EngineContext, session: SessionRow, trial: TrialRow): Question {
  return {
    trialId: trial.id,
    sessionId: session.id,
    prompt: trial.prompt,
    mode: session.mode,
    slots: trial.slots.map((sampleId) => ({ sampleId, hash: hashOf(project, sampleId) })),
    number: session.votes + 1,
    total: session.planned,
    enough: session.kind === 'rank' && ranking.enough(session, votes.ofSession(project.db, session.id)),
  };
}

function hashOf(project: Project, sampleId: string): string {
  const found = samples.get(project.db, sampleId);
  if (found) return found.hash;
  throw new NorthlightError('sample/unknown', `The picture ${sampleId} of a question is not in the project.`);
}

/** @throws NorthlightError `vote/invalid` */
function voteOf(session: SessionRow, trial: TrialRow, input: ParsedInput<'sessions.vote'>): NewVote {
  const { outcome, winnerId } = input;
  const invalid = (message: string) => new NorthlightError('vote/invalid', message, 'Send one answer per question.');
  if ((outcome === undefined) === (winnerId === undefined)) {
    throw invalid('A vote needs either an outcome or a winner.');
  }
  if (session.mode === 'pair' && outcome === undefined) {
    throw invalid('A question about two pictures is answered with left, right, tie, both-bad or skip.');
  }
  if (session.mode === 'best-of-n' && outcome !== undefined && outcome !== 'skip' && outcome !== 'both-bad') {
    throw invalid('A question for the best of several is answered with its winner, both-bad or skip.');
  }
  if (winnerId !== undefined && !trial.slots.includes(winnerId)) throw invalid('The winner was not shown.');
  return {
    trialId: trial.id,
    outcome: outcome ?? null,
    winnerId: winnerId ?? null,
    strong: input.strong,
    responseMs: input.responseMs ?? null,
  };
}
