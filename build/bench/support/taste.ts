import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Rng } from '#models/tensor/rng.ts';
import type { Question } from '#pipelines/engine/contract.ts';
import { decodeImage } from '#pipelines/images/images.ts';
import { sampleAttributes } from '#pipelines/recipes/flora/attributes.ts';
import { caption } from '#pipelines/recipes/flora/captions.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import type { Served } from './served.ts';

/** Pictures nearer in warmth than this are told apart by symmetry. */
const JUST_NOTICEABLE = 0.02;

/** A simulated person with a simple taste: warm colours first, symmetry second. */
export async function createRater(project: string) {
  const rewards = await Promise.all(['warmth', 'symmetry'].map((spec) => createReward(spec)));
  const known = new Map<string, Promise<readonly number[]>>();
  const look = async (hash: string): Promise<number[]> => {
    const image = await decodeImage(readFileSync(join(project, 'samples', `${hash}.png`)));
    const item = { kind: 'image' as const, rgb: image.data, width: image.width, height: image.height, prompt: '' };
    return Promise.all(rewards.map(async (r) => (await r.score([item]))[0]!));
  };
  return {
    async prefers(left: string, right: string): Promise<'left' | 'right'> {
      for (const h of [left, right]) if (!known.has(h)) known.set(h, look(h));
      const [a, b] = (await Promise.all([known.get(left)!, known.get(right)!])) as [number[], number[]];
      const warmer = a[0]! - b[0]!;
      return (Math.abs(warmer) > JUST_NOTICEABLE ? warmer > 0 : a[1]! > b[1]!) ? 'left' : 'right';
    },
  };
}

export type Rater = Awaited<ReturnType<typeof createRater>>;

/** Prompts that leave the colours open, so that a taste in colour can show. */
export function openPrompts(count: number, seed: number): string[] {
  const root = new Rng(seed).fork('open-prompts');
  return Array.from({ length: count }, (_, i) => {
    const rng = root.fork(i);
    const { species, petalCount, leaves, setting } = sampleAttributes(rng);
    return caption({ species, petalCount, leaves, setting }, rng);
  });
}

/** Answers questions until there are none, or `limit` are answered. */
export async function answer(served: Served, rater: Rater, sessionId: string, limit: number): Promise<number> {
  let question: Question | null = await served.call('sessions.question', { id: sessionId });
  let votes = 0;
  while (question && votes < limit) {
    const [left, right] = question.slots;
    const outcome = await rater.prefers(left!.hash, right!.hash);
    question = (await served.call('sessions.vote', { trialId: question.trialId, outcome })).next;
    votes++;
  }
  return votes;
}
