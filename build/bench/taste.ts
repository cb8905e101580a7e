import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeImage } from '#pipelines/images/images.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { finished, serveProject } from './support/served.ts';
import { answer, createRater, openPrompts } from './support/taste.ts';

const VOTES = 60;
const RANKED_PROMPTS = 20;
const PER_PROMPT = 4;
const BLIND = 100;

/**
 * The loop with a simulated rater: 60 votes, D3PO with its defaults, 100 blind comparisons on prompts that were not ranked.
 * Reports the win rate of the tuned model, what tuning took, and prompt agreement before and after.
 */
export async function measure(): Promise<Record<string, unknown>> {
  const project = mkdtempSync(join(tmpdir(), 'northlight-taste-'));
  const served = await serveProject(project);
  try {
    const model = (await served.call('models.list', {})).find((m) => m.name === 'Flora')!;
    const rater = await createRater(project);
    const clock = () => performance.now() / 1000;
    const t0 = clock();
    const generated = await served.call('generate.start', {
      modelId: model.id,
      prompts: openPrompts(RANKED_PROMPTS, 1),
      count: PER_PROMPT,
      steps: 20,
      eta: 1,
      guidanceScale: 3,
      seed: 1,
      keepTrajectories: true,
    });
    await finished(served, generated.id);
    const t1 = clock();
    const session = await served.call('sessions.create', { name: 'taste', mode: 'pair', jobIds: [generated.id] });
    const votes = await answer(served, rater, session.id, VOTES);
    const t2 = clock();
    const run = await served.call('tune.start', { algorithm: 'd3po', modelId: model.id, sessionIds: [session.id] });
    await finished(served, run.jobId);
    const t3 = clock();
    const { adapterId } = (await served.call('runs.list', {})).find((r) => r.id === run.id)!;
    const { metrics } = await served.call('runs.show', { id: run.id });
    const compared = await served.call('compare.start', {
      modelId: model.id,
      adapterA: null,
      adapterB: adapterId,
      prompts: openPrompts(BLIND, 2),
      steps: 20,
      eta: 0,
      guidanceScale: 3,
      seed: 3,
    });
    await finished(served, compared.job.id);
    await answer(served, rater, compared.session.id, Number.POSITIVE_INFINITY);
    const result = await served.call('compare.result', { id: compared.session.id });
    return {
      votes,
      seconds: { generate: t1 - t0, vote: t2 - t1, tune: t3 - t2 },
      metrics: { first: metrics[0]?.values, last: metrics.at(-1)?.values },
      winsTuned: result.winsB,
      winsBase: result.winsA,
      winRateTuned: result.winRateB,
      interval: result.interval,
      agreement: await agreement(served, project, model.id, adapterId!),
    };
  } finally {
    await served.close();
    rmSync(project, { recursive: true, force: true });
  }
}

/** Prompt agreement of base and tuned on full held-out captions. */
async function agreement(
  served: Awaited<ReturnType<typeof serveProject>>,
  project: string,
  modelId: string,
  adapterId: string,
) {
  const { heldOutPrompts } = await import('#pipelines/recipes/flora/dataset.ts');
  const prompts = heldOutPrompts(100, 7).map((p) => p.prompt);
  const judge = await createReward('prompt-agreement');
  const out: Record<string, number> = {};
  for (const [name, adapter] of [
    ['base', null],
    ['tuned', adapterId],
  ] as const) {
    const job = await served.call('generate.start', {
      modelId,
      adapterId: adapter,
      prompts,
      count: 1,
      steps: 30,
      eta: 0,
      guidanceScale: 3,
      seed: 9,
      keepTrajectories: false,
    });
    await finished(served, job.id);
    const { samples } = await served.call('samples.list', { jobId: job.id, limit: 500 });
    const items = await Promise.all(
      samples.map(async (s) => {
        const image = await decodeImage(readFileSync(join(project, 'samples', `${s.hash}.png`)));
        return { kind: 'image' as const, rgb: image.data, width: image.width, height: image.height, prompt: s.prompt };
      }),
    );
    const scores = await judge.score(items);
    out[name] = scores.reduce((a, b) => a + b, 0) / scores.length;
  }
  await judge.close();
  return out;
}
