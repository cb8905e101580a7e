import { z } from 'zod';
import { flag, json } from './columns.ts';
import type { Db } from './db.ts';

const sessionRow = z
  .object({
    id: z.string(),
    kind: z.enum(['rank', 'blind']),
    mode: z.enum(['pair', 'best-of-n']),
    name: z.string(),
    model_id: z.string(),
    adapter_a: z.string().nullable(),
    adapter_b: z.string().nullable(),
    seed: z.number().int(),
    planned: z.number().int().nullable(),
    created_at: z.string(),
    votes: z.number().int(),
    samples: z.number().int(),
    prompts: z.number().int(),
  })
  .transform(({ model_id, adapter_a, adapter_b, created_at, ...rest }) => ({
    ...rest,
    modelId: model_id,
    adapterA: adapter_a,
    adapterB: adapter_b,
    createdAt: created_at,
  }));
export type SessionRow = z.output<typeof sessionRow>;

const trialRow = z
  .object({
    id: z.string(),
    session_id: z.string(),
    number: z.number().int(),
    prompt: z.string(),
    slots: json(z.array(z.string())),
  })
  .transform(({ session_id, ...rest }) => ({ ...rest, sessionId: session_id }));
export type TrialRow = z.output<typeof trialRow>;

const voteRow = z
  .object({
    seq: z.number().int(),
    trial_id: z.string(),
    outcome: z.enum(['left', 'right', 'tie', 'both-bad', 'skip']).nullable(),
    winner_id: z.string().nullable(),
    strong: flag,
    response_ms: z.number().nullable(),
    created_at: z.string(),
    voided_at: z.string().nullable(),
    prompt: z.string(),
    slots: json(z.array(z.string())),
    number: z.number().int(),
  })
  .transform(({ trial_id, winner_id, response_ms, created_at, voided_at, ...rest }) => ({
    ...rest,
    trialId: trial_id,
    winnerId: winner_id,
    responseMs: response_ms,
    createdAt: created_at,
    voidedAt: voided_at,
  }));
/** A vote together with the question it answers. */
export type VoteRow = z.output<typeof voteRow>;

const sessionColumns = `s.id, s.kind, s.mode, s.name, s.model_id, s.adapter_a, s.adapter_b, s.seed, s.planned, s.created_at,
  (SELECT count(*) FROM votes v JOIN trials t ON t.id = v.trial_id WHERE t.session_id = s.id AND v.voided_at IS NULL) AS votes,
  (SELECT count(*) FROM session_samples m WHERE m.session_id = s.id) AS samples,
  (SELECT count(DISTINCT p.prompt) FROM session_samples m JOIN samples p ON p.id = m.sample_id WHERE m.session_id = s.id) AS prompts`;

const voteColumns = `v.seq, v.trial_id, v.outcome, v.winner_id, v.strong, v.response_ms, v.created_at, v.voided_at,
  t.prompt, t.slots, t.number`;

export type NewSession = Pick<
  SessionRow,
  'id' | 'kind' | 'mode' | 'name' | 'modelId' | 'adapterA' | 'adapterB' | 'seed' | 'planned'
>;

export type NewVote = Pick<VoteRow, 'trialId' | 'outcome' | 'winnerId' | 'strong' | 'responseMs'>;

export const sessions = {
  /** Newest first. */
  all: (db: Db): SessionRow[] => db.all(sessionRow, `SELECT ${sessionColumns} FROM sessions s ORDER BY s.seq DESC`),
  get: (db: Db, id: string): SessionRow | undefined =>
    db.get(sessionRow, `SELECT ${sessionColumns} FROM sessions s WHERE s.id = ?`, [id]),
  add: (db: Db, s: NewSession): void => {
    db.run(
      `INSERT INTO sessions (id, kind, mode, name, model_id, adapter_a, adapter_b, seed, planned, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [s.id, s.kind, s.mode, s.name, s.modelId, s.adapterA, s.adapterB, s.seed, s.planned, new Date().toISOString()],
    );
  },
  /** Changes how many questions a blind session will have. */
  plan: (db: Db, id: string, planned: number): void => {
    db.run('UPDATE sessions SET planned = ? WHERE id = ?', [planned, id]);
  },
  addSample: (db: Db, sessionId: string, sampleId: string): void => {
    db.run('INSERT OR IGNORE INTO session_samples (session_id, sample_id) VALUES (?, ?)', [sessionId, sampleId]);
  },
};

export const trials = {
  get: (db: Db, id: string): TrialRow | undefined =>
    db.get(trialRow, 'SELECT id, session_id, number, prompt, slots FROM trials WHERE id = ?', [id]),
  at: (db: Db, sessionId: string, number: number): TrialRow | undefined =>
    db.get(trialRow, 'SELECT id, session_id, number, prompt, slots FROM trials WHERE session_id = ? AND number = ?', [
      sessionId,
      number,
    ]),
  ofSession: (db: Db, sessionId: string): TrialRow[] =>
    db.all(trialRow, 'SELECT id, session_id, number, prompt, slots FROM trials WHERE session_id = ? ORDER BY number', [
      sessionId,
    ]),
  /** The first question that has no vote, or only void ones. */
  open: (db: Db, sessionId: string): TrialRow | undefined =>
    db.get(
      trialRow,
      `SELECT id, session_id, number, prompt, slots FROM trials t WHERE session_id = ?
         AND NOT EXISTS (SELECT 1 FROM votes v WHERE v.trial_id = t.id AND v.voided_at IS NULL)
       ORDER BY number LIMIT 1`,
      [sessionId],
    ),
  add: (db: Db, t: TrialRow): void => {
    db.run('INSERT INTO trials (id, session_id, number, prompt, slots, created_at) VALUES (?, ?, ?, ?, ?, ?)', [
      t.id,
      t.sessionId,
      t.number,
      t.prompt,
      JSON.stringify(t.slots),
      new Date().toISOString(),
    ]);
  },
};

export const votes = {
  /** Votes that count, oldest first. */
  ofSession: (db: Db, sessionId: string): VoteRow[] =>
    db.all(
      voteRow,
      `SELECT ${voteColumns} FROM votes v JOIN trials t ON t.id = v.trial_id
       WHERE t.session_id = ? AND v.voided_at IS NULL ORDER BY v.seq`,
      [sessionId],
    ),
  /** All votes ever given, void ones too. */
  history: (db: Db, sessionId: string): VoteRow[] =>
    db.all(
      voteRow,
      `SELECT ${voteColumns} FROM votes v JOIN trials t ON t.id = v.trial_id WHERE t.session_id = ? ORDER BY v.seq`,
      [sessionId],
    ),
  ofTrial: (db: Db, trialId: string): VoteRow | undefined =>
    db.get(
      voteRow,
      `SELECT ${voteColumns} FROM votes v JOIN trials t ON t.id = v.trial_id WHERE t.id = ? AND v.voided_at IS NULL`,
      [trialId],
    ),
  add: (db: Db, v: NewVote): void => {
    db.run(
      'INSERT INTO votes (trial_id, outcome, winner_id, strong, response_ms, created_at) VALUES (?, ?, ?, ?, ?, ?)',
      [v.trialId, v.outcome, v.winnerId, v.strong ? 1 : 0, v.responseMs, new Date().toISOString()],
    );
  },
  void: (db: Db, seq: number): void => {
    db.run('UPDATE votes SET voided_at = ? WHERE seq = ?', [new Date().toISOString(), seq]);
  },
};
