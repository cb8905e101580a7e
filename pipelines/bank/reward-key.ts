import { programVersion } from '#models/version.ts';
import { rewardHash } from '#pipelines/rewards/reward-hash.ts';

/**
 * SHA-256 of a reward without its weight, as this version of the program measures it: others may do so differently. A file that moves
 * keeps its scores, one that changes loses them.
 */
export const rewardKey = (spec: string): string => rewardHash(spec, `${programVersion()}\n`);
