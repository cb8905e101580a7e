import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256File } from '#models/files.ts';
import { Rng } from '#models/tensor/rng.ts';
import type { Job } from '#pipelines/engine/contract.ts';
import { finished, type Served, serveProject } from './support/served.ts';
import { answer, createRater, openPrompts } from './support/taste.ts';

const KILLS = 10;
const SETTINGS = { steps: 20, eta: 1, guidanceScale: 3, seed: 4, keepTrajectories: true } as const;
const UPDATES = 60;

/**
 * Generation, votes and tuning twice: undisturbed, and with the compute process or the engine killed (SIGKILL) at ten
 * random moments. Reports whether pictures, votes and the final adapter are the same, byte for byte.
 */
export async function measure(): Promise<Record<string, unknown>> {
  const calm = await loop(0);
  const rough = await loop(KILLS);
  return {
    kills: rough.kills,
    picturesEqual: calm.pictures.join() === rough.pictures.join(),
    pictures: rough.pictures.length,
    votes: [calm.votes, rough.votes],
    adapterEqual: calm.adapter === rough.adapter,
    adapter: rough.adapter,
    seconds: [calm.seconds, rough.seconds],
  };
}

async function loop(kills: number) {
  const project = mkdtempSync(join(tmpdir(), 'northlight-kill-'));
  const rng = new Rng(kills).fork('moments');
  const log: string[] = [];
  const started = performance.now();
  let served = await serveProject(project);

  /** Runs a job to its end, killing compute or engine `count` times on the way, within `seconds` of going on each time. */
  const run = async (jobId: string, count: number, seconds: number): Promise<void> => {
    for (let k = 0; k < count; k++) {
      const before = await stateOf(served, jobId);
      if (before.state === 'done') break;
      await new Promise((r) => setTimeout(r, 800 + rng.uniform() * 1000 * seconds));
      const target = rng.uniform() < 0.5 ? 'engine' : 'compute';
      const at = await stateOf(served, jobId);
      if (at.state === 'done') break;
      if (target === 'engine') {
        await served.kill();
        served = await serveProject(project);
      } else {
        for (const pid of childrenOf(served.process.pid!)) process.kill(pid, 'SIGKILL');
      }
      log.push(`${target} at ${at.stage || at.kind}`);
      await settled(jobId);
      // A job that had not begun in a process that waited is no worse for its end.
      if ((await stateOf(served, jobId)).state === 'done') break;
      await served.call('jobs.resume', { id: jobId });
    }
    await finished(served, jobId);
  };

  /** Waits until the engine has noticed that the job stopped. */
  const settled = async (jobId: string): Promise<void> => {
    while (['running', 'queued'].includes((await stateOf(served, jobId)).state))
      await new Promise((r) => setTimeout(r, 100));
  };

  try {
    const model = (await served.call('models.list', {})).find((m) => m.name === 'Flora')!;
    const generated = await served.call('generate.start', {
      modelId: model.id,
      prompts: openPrompts(6, 1),
      count: 4,
      ...SETTINGS,
    });
    await run(generated.id, Math.floor(kills * 0.4), 5);
    const { samples } = await served.call('samples.list', { jobId: generated.id, limit: 500 });
    const session = await served.call('sessions.create', { name: 'votes', mode: 'pair', jobIds: [generated.id] });
    const rater = await createRater(project);
    await answer(served, rater, session.id, 10);
    if (kills > 0) {
      await served.kill();
      log.push('engine after a vote');
      served = await serveProject(project);
    }
    await answer(served, rater, session.id, 10);
    const votes = (await served.call('sessions.list', {})).find((s) => s.id === session.id)!.votes;
    const tuned = await served.call('tune.start', {
      algorithm: 'd3po',
      modelId: model.id,
      sessionIds: [session.id],
      config: { steps: UPDATES, stripEvery: 20 },
    });
    await run(tuned.jobId, kills - log.length, 30);
    const done = (await served.call('runs.list', {})).find((r) => r.id === tuned.id)!;
    const adapter = (await served.call('adapters.list', {})).find((a) => a.id === done.adapterId)!;
    return {
      kills: log,
      pictures: samples.map((s) => s.hash).sort(),
      votes,
      adapter: sha256File(adapter.path),
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await served.close();
    rmSync(project, { recursive: true, force: true });
  }
}

async function stateOf(served: Served, jobId: string): Promise<Job> {
  return (await served.call('jobs.list', {})).find((j) => j.id === jobId)!;
}

/** Direct children of a process (Linux). */
function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number);
}
