import { Rng } from '#models/tensor/rng.ts';
import { adapters } from '#pipelines/store/adapters.ts';
import type { Db } from '#pipelines/store/db.ts';
import { jobs } from '#pipelines/store/jobs.ts';
import { models } from '#pipelines/store/models.ts';

const WORDS = {
  colour: ['red', 'blue', 'pale yellow', 'violet', 'white', 'crème', 'dark red'],
  flower: ['tulip', 'rose', 'daisy', 'lily', 'bellflower', 'poppy', '牡丹の花'],
  place: ['in a vase', 'on a cream background', 'in the rain', 'with two leaves', 'at night', ''],
};

export const TAGS = ['favourite', 'to print', 'blurred', 'series 2'];

/** A picture as it is put into the table. */
export interface MadeSample {
  readonly seq: number;
  readonly id: string;
  readonly hash: string;
  readonly prompt: string;
  readonly adapterId: string | null;
  readonly seed: number;
  readonly scheduler: string;
  readonly width: number;
  readonly height: number;
  readonly starred: boolean;
  readonly createdAt: string;
  readonly tags: readonly string[];
  readonly brightness: number | null;
}

/**
 * Puts `n` pictures into a new database: made up from `seed`, minutes apart, ending at the beginning of 2026. Their files do
 * not exist; `hashes` are given to them in turn if there are any.
 */
export function addManySamples(
  db: Db,
  n: number,
  options: { seed?: number; hashes?: readonly string[] } = {},
): MadeSample[] {
  const rng = new Rng(options.seed ?? 1).fork('samples');
  const end = Date.UTC(2026, 0, 1);
  const made = Array.from({ length: n }, (_, i): MadeSample => {
    const scored = rng.uniform() < 0.5;
    return {
      seq: i + 1,
      id: `sample-${i + 1}`,
      hash: options.hashes?.[i % options.hashes.length] ?? i.toString(16).padStart(64, '0'),
      prompt: `a ${rng.pick(WORDS.colour)} ${rng.pick(WORDS.flower)} ${rng.pick(WORDS.place)}`.trim(),
      adapterId: rng.pick([null, null, 'adapter-1', 'adapter-2']),
      seed: rng.int(n),
      scheduler: rng.pick(['ddim', 'ddpm', 'euler']),
      width: rng.pick([64, 512]),
      height: rng.pick([64, 512, 768]),
      starred: rng.uniform() < 0.03,
      createdAt: new Date(end - (n - i) * 60_000).toISOString(),
      tags: TAGS.filter(() => rng.uniform() < 0.05),
      brightness: scored ? Math.round(rng.uniform() * 1000) / 1000 : null,
    };
  });
  db.tx(() => {
    models.put(db, { id: 'model-1', path: '/models/flora', bundled: false });
    for (const [k, name] of ['Warm evenings', 'Sharper petals'].entries()) {
      adapters.put(db, {
        id: `adapter-${k + 1}`,
        name,
        modelId: 'model-1',
        runId: null,
        hash: String(k),
        path: `adapters/${k}`,
        rank: 4,
        verifiedDifference: null,
      });
    }
    const origin = { modelId: 'model-1', adapterId: null, adapterA: null, adapterB: null };
    jobs.add(db, {
      ...{ id: 'job-1', kind: 'generate', title: 'Many', total: n, payload: {}, origin, runId: null, sessionId: null },
    });
    jobs.settle(db, 'job-1', { state: 'done', stage: '', crashes: 0, error: null });
    for (const [k, name] of TAGS.entries()) db.run('INSERT INTO tags (id, name) VALUES (?, ?)', [k + 1, name]);
    for (const s of made) {
      db.run(
        `INSERT INTO samples (seq, id, hash, prompt, negative_prompt, model_id, adapter_id, seed, idx, steps, scheduler, eta,
           guidance_scale, width, height, has_trajectory, starred, job_id, position, side, hidden, created_at)
         VALUES (?, ?, ?, ?, '', 'model-1', ?, ?, ?, 30, ?, 1, 3, ?, ?, 1, ?, 'job-1', ?, '', 0, ?)`,
        [
          ...[s.seq, s.id, s.hash, s.prompt, s.adapterId, s.seed, s.seq, s.scheduler, s.width, s.height],
          ...[s.starred ? 1 : 0, s.seq, s.createdAt],
        ],
      );
      for (const tag of s.tags) {
        db.run('INSERT INTO sample_tags (tag, sample) VALUES (?, ?)', [TAGS.indexOf(tag) + 1, s.seq]);
      }
      if (s.brightness !== null) {
        db.run("INSERT INTO sample_rewards (reward, sample, value) VALUES ('brightness', ?, ?)", [s.seq, s.brightness]);
      }
    }
  });
  return made;
}
