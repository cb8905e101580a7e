import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createEngine } from '#pipelines/engine/engine.ts';
import { createNodeHost } from '#pipelines/engine/hosts/node-host.ts';
import { GUIDED_LIMITS } from '#pipelines/engine/jobs/guided-log.ts';
import { jobs } from '#pipelines/engine/jobs/index.ts';
import type { SequenceBatch, SequencesPayload } from '#pipelines/engine/jobs/sequence-payload.ts';
import { readGuided } from '#pipelines/engine/read-guided.ts';
import { parseDelimited, parseFasta } from '#pipelines/sequences/sequence-files.ts';
import { openProject } from '#pipelines/store/project.ts';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { recordedContext } from '#test/support/job-context.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-sequences-'));
const modelPath = join(folder, 'tiny');
beforeAll(() => void writeTinyMaskedModel(modelPath, { length: 24 }));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

const STEPS = 5;
const PAYLOAD: SequencesPayload['sequences'] = {
  ...{ modelPath, adapterPath: null, className: 'K562', count: 20, length: null, steps: STEPS, scheduler: null },
  ...{ eta: 0, guidanceScale: 1, seed: 4, steering: null },
};
const GC = { rewards: [{ reward: 'gc', weight: 1 }], combine: 'sum', cap: null } as const;
const STEERING = { decoder: 'svdd-pm', ...GC, rewards: [...GC.rewards], options: { candidates: 3, alpha: 0.01 } };
const alone = ({ scores }: SequenceBatch['sequences'][number]): number => {
  expect(scores.map(({ reward }) => reward)).toEqual(['gc']);
  return scores[0]!.value;
};

async function written(name: string, change: Partial<SequencesPayload['sequences']> = {}) {
  const project = join(folder, name);
  const context = recordedContext(project, name);
  await jobs.generate({ sequences: { ...PAYLOAD, ...change } }, context);
  const batches = context.events.flatMap((e) => (e.topic === 'sequences' ? [e.data as SequenceBatch] : []));
  return { project, context, batches, all: batches.flatMap((b) => b.sequences) };
}

describe('a job that makes sequences', () => {
  test('writes what the command line writes with the same settings', async () => {
    const { all } = await written('same', { count: 18 });
    const out = join(folder, 'cli');
    const args = ['sample', '--model', modelPath, '--class', 'K562', '--count', '18', '--steps', String(STEPS)];
    expect((await runCli(...args, '--seed', '4', '--out', out)).code).toBe(0);
    const records = parseFasta(readFileSync(join(out, 'samples.fasta'), 'utf8'), 'samples.fasta');
    expect(all.map((s) => s.letters)).toEqual(records.map((r) => r.sequence));
  });

  test('goes on after its last whole batch, with the same letters', async () => {
    const whole = await written('whole');
    const project = join(folder, 'stopped');
    const first = recordedContext(project, 'job', ({ control }, topic) => {
      if (topic === 'sequences') control.request = 'pause';
    });
    await expect(jobs.generate({ sequences: PAYLOAD }, first)).resolves.toBeNull();
    const again = recordedContext(project, 'job');
    await jobs.generate({ sequences: PAYLOAD }, again);
    const batches = again.events.flatMap((e) => (e.topic === 'sequences' ? [e.data as SequenceBatch] : []));
    expect(first.events.filter((e) => e.topic === 'sequences')).toHaveLength(1);
    expect(batches.flatMap((b) => b.sequences)).toEqual(whole.all);
  });

  test('keeps how each guided sequence came to be: letters, parents that went on, the end', async () => {
    const { project, all } = await written('guided', { count: 3, steering: STEERING });
    for (const own of all) {
      const { index, letters } = own;
      const record = readGuided(project, 'guided', index)!;
      expect(record.reward).toBe('gc');
      expect(record.steps.length).toBeGreaterThan(1);
      for (const [k, step] of record.steps.entries()) {
        for (const [place, parent] of step.parents.entries()) {
          if (k === 0) expect(parent).toBeNull();
          else expect(record.steps[k - 1]!.survivors).toContain(parent);
          const guess = step.guesses![place]!;
          expect(step.values[place]).toBeCloseTo([...guess].filter((c) => 'GC'.includes(c)).length / 24, 6);
        }
      }
      expect(alone(own)).toBeCloseTo([...letters].filter((c) => 'GC'.includes(c)).length / 24, 6);
    }
  });

  test('several rewards: what the command line writes, and of each sequence what every one of them says', async () => {
    const steering = {
      ...{ decoder: 'svdd-pm', combine: 'krc' as const, cap: 0.9, options: { candidates: 3 } },
      rewards: [
        { reward: 'gc', weight: 1 },
        { reward: 'homopolymer', weight: -0.5 },
      ],
    };
    const { all, context, project } = await written('several', { count: 2, steering });
    const out = join(folder, 'cli-several');
    const rewards = ['--reward', 'gc', '--reward', 'homopolymer@-0.5', '--combine', 'krc', '--cap', '0.9'];
    const how = [...rewards, '--decode', 'svdd-pm', '--candidates', '3', '--seed', '4', '--project', project];
    const args = ['sample', '--model', modelPath, '--class', 'K562', '--count', '2', '--steps', String(STEPS)];
    expect((await runCli(...args, ...how, '--out', out)).code).toBe(0);
    const records = parseFasta(readFileSync(join(out, 'samples.fasta'), 'utf8'), 'samples.fasta');
    expect(all.map((s) => s.letters)).toEqual(records.map((r) => r.sequence));
    for (const { letters, scores } of all) {
      const longest = Math.max(...letters.match(/(.)\1*/g)!.map((run) => run.length));
      expect(scores).toEqual([
        { reward: 'gc', value: expect.closeTo([...letters].filter((c) => 'GC'.includes(c)).length / 24, 6) },
        { reward: 'homopolymer', value: longest },
        { reward: 'krc(gc,homopolymer@-0.5)', value: expect.any(Number) },
      ]);
    }
    expect(context.stages).toContain('plain sample 1 of 64, to put the rewards on one scale');
  });

  test('a tree search leaves its tree, and the best finished place of it is the sequence', async () => {
    const steering = { ...STEERING, decoder: 'tree', options: { branch: 2, depth: 3, budget: 4 } };
    const { project, all } = await written('tree', { count: 1, steering });
    const { tree } = readGuided(project, 'tree', 0)!;
    const own = tree!.places.filter((place) => place.guess === all[0]!.letters);
    expect(Math.max(...own.map((place) => place.prior))).toBeCloseTo(alone(all[0]!), 6);
    const leaves = tree!.places.filter(({ step }) => step === Math.max(...tree!.places.map((p) => p.step)));
    expect(Math.max(...leaves.map((leaf) => leaf.prior))).toBeCloseTo(alone(all[0]!), 6);
  });

  test('particles without number are told of by those that went on and the best', async () => {
    const steering = { ...STEERING, decoder: 'smc', options: { particles: 80, alpha: 0.02 } };
    const { project } = await written('many', { count: 1, steps: 3, steering });
    for (const step of readGuided(project, 'many', 0)!.steps) {
      expect(step.values).toHaveLength(GUIDED_LIMITS.rivals);
      expect(step.left).toBe(80 - GUIDED_LIMITS.rivals);
    }
  });
});

describe('an engine with a model of sequences', () => {
  test('lists it, writes, scores, finds by reward, exports and says what lies along a sequence', async () => {
    const project = openProject(join(folder, 'project'));
    const engine = createEngine({
      project,
      kind: 'browser',
      bundledModels: join(folder, 'none'),
      host: createNodeHost(),
      threads: 1,
      checkOutputs: true,
    });
    const done = (id: string) =>
      new Promise<void>((resolve, reject) => {
        const stop = engine.subscribe((name, payload) => {
          const job = name === 'job' ? (payload as { id: string; state: string; error: unknown }) : null;
          if (job?.id !== id || job.state === 'queued' || job.state === 'running') return;
          stop();
          if (job.state === 'done') resolve();
          else reject(new Error(JSON.stringify(job)));
        });
      });
    try {
      const model = await engine.call('models.add', { path: modelPath });
      expect(model).toMatchObject({
        sampling: null,
        sequence: { alphabet: 'ACGT', molecule: 'dna', shortest: 24, longest: 24, classes: ['HepG2', 'K562'] },
      });
      const input = { modelId: model.id, count: 18, steps: STEPS, seed: 4, className: 'K562' };
      await expect(engine.call('sequences.start', { ...input, className: 'HeLa' })).rejects.toThrow(/no class "HeLa"/);
      await expect(
        engine.call('sequences.start', {
          ...input,
          steering: { ...STEERING, rewards: [{ reward: 'warmth', weight: 1 }] },
        }),
      ).rejects.toThrow(/scores pictures/);
      const job = await engine.call('sequences.start', { ...input, steering: STEERING });
      expect(job).toMatchObject({ kind: 'generate', makes: 'sequences' });
      await done(job.id);
      const { sequences, total } = await engine.call('sequences.list', { jobId: job.id });
      expect(total).toBe(18);
      const share = ({ letters }: { letters: string }) => [...letters].filter((c) => 'GC'.includes(c)).length / 24;
      for (const s of sequences) expect(s.scores.gc).toBeCloseTo(share(s), 6);
      expect((await engine.call('generate.guided', { jobId: job.id, index: 17 }))?.decoder).toBe('svdd-pm');

      const seqs = sequences.map((s) => s.seq);
      const scoring = await engine.call('sequences.score', { seqs, reward: 'homopolymer' });
      await done(scoring.id);
      const bound = 0.5;
      const found = await engine.call('sequences.list', { reward: 'gc', atLeast: bound });
      expect(found.sequences.map((s) => s.seq)).toEqual(sequences.filter((s) => share(s) >= bound).map((s) => s.seq));
      for (const s of found.sequences) expect(s.scores.homopolymer).toBeGreaterThanOrEqual(1);

      const fasta = await engine.call('sequences.export', { seqs, format: 'fasta' });
      const read = parseFasta(readFileSync(fasta.path, 'utf8'), fasta.path);
      expect(read.map((r) => r.sequence)).toEqual(sequences.map((s) => s.letters));
      const csv = await engine.call('sequences.text', { seqs, format: 'csv' });
      expect(parseDelimited(csv.text, 'csv', ',').map((r) => r.sequence)).toEqual(sequences.map((s) => s.letters));
      const tracks = await engine.call('sequences.tracks', { seq: seqs[0]! });
      expect(tracks.gc.values).toHaveLength(24);
    } finally {
      await engine.close();
      project.close();
    }
  });
});
