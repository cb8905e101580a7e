import type { SteeringInput } from '#pipelines/engine/contract.ts';

/** Rewards that samples follow while they are made, and how; null: none. */
export type Steering = SteeringInput | null;
export type Followed = Pick<SteeringInput, 'rewards' | 'combine' | 'cap'>;

export const newSteering = (reward: string, decoder: string): SteeringInput => ({
  rewards: [{ reward, weight: 1 }],
  combine: 'sum',
  cap: null,
  decoder,
  options: {},
});

/** Whether plain samples put the rewards on one scale before they steer. */
export const needsScale = ({ rewards, cap }: Pick<Followed, 'rewards' | 'cap'>): boolean =>
  rewards.length > 1 || cap !== null;

/** Whether the size of a weight counts, or only its sign. */
export const weighs = ({ combine }: Pick<Followed, 'combine'>): boolean => combine === 'sum' || combine === 'krc';

/** Most rewards that a method of combining can tell apart. */
const MOST: Readonly<Record<Followed['combine'], number>> = { sum: 12, krc: 12, worst: 12, lexicographic: 5 };
export const hasRoom = ({ rewards, combine }: Followed): boolean => rewards.length < MOST[combine];

const replaced = <T>(list: readonly T[], at: number, ...by: T[]): T[] => [
  ...list.slice(0, at),
  ...by,
  ...list.slice(at + 1),
];

/** Another reward in the place of one; its weight stays. */
export const nameReward = <F extends Followed>(followed: F, at: number, reward: string): F => ({
  ...followed,
  rewards: replaced(followed.rewards, at, { reward, weight: followed.rewards[at]?.weight ?? 1 }),
});

export const weighReward = <F extends Followed>(followed: F, at: number, weight: number): F => ({
  ...followed,
  rewards: replaced(followed.rewards, at, { reward: followed.rewards[at]!.reward, weight }),
});

/** Without one of them; the last that is left counts as it is. Null where none is left. */
export function dropReward<F extends Followed>(followed: F, at: number): F | null {
  const rewards = replaced(followed.rewards, at);
  if (rewards.length === 0) return null;
  return { ...followed, rewards: rewards.length === 1 ? [{ ...rewards[0]!, weight: 1 }] : rewards };
}

/** One place earlier. */
export function raiseReward<F extends Followed>(followed: F, at: number): F {
  const own = followed.rewards[at];
  const before = followed.rewards[at - 1];
  if (!own || !before) return followed;
  return { ...followed, rewards: replaced(replaced(followed.rewards, at, before), at - 1, own) };
}

/** What was remembered of an earlier visit, if it still is one. */
export function steeringFrom(saved: unknown): Steering {
  const { rewards, combine, cap, decoder, options } = (saved ?? {}) as Partial<SteeringInput>;
  if (!Array.isArray(rewards) || rewards.length === 0 || typeof decoder !== 'string') return null;
  const whole = rewards.every((r) => typeof r?.reward === 'string' && typeof r.weight === 'number' && r.weight !== 0);
  if (!whole || combine === undefined || !(combine in MOST)) return null;
  return { rewards, combine, cap: typeof cap === 'number' ? cap : null, decoder, options: options ?? {} };
}
