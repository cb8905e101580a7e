import { NorthlightError } from '#models/errors.ts';
import { type MaskedSchedulerConfig, moveChance } from './masked-config.ts';
import type { MaskedStep } from './types.ts';

/**
 * Ancestral sampling of masked diffusion: from time t to s, each masked position is revealed with probability
 * (m_t − m_s)/m_t, m being the masked share. Sahoo et al. 2024 (arXiv:2406.07524), eq. 7, on an even grid from 1 to
 * `final_time`; then noise removal fills in what is left. Positions revealed in one step do not see one another, so with a
 * perfect network and two positions the law is (1 − c)·p + c·(p₁⊗p₂), c the probability that both fall into one step.
 * @throws {NorthlightError} `scheduler/steps`.
 */
export function maskedSteps(config: MaskedSchedulerConfig, steps: number): MaskedStep[] {
  if (!Number.isInteger(steps) || steps < 1) {
    throw new NorthlightError('scheduler/steps', `${steps} steps were asked for.`, 'Use a whole number from 1 on.');
  }
  const end = config.final_time;
  const times = Array.from({ length: steps + 1 }, (_, i) => end + (1 - end) * (1 - i / steps));
  const ancestral = times.slice(0, -1).map((time, i): MaskedStep => {
    const [now, then] = [moveChance(config, time), moveChance(config, times[i + 1]!)];
    return { time, reveal: (now - then) / now, fill: 'sample' };
  });
  return end === 0 ? ancestral : [...ancestral, { time: end, reveal: 1, fill: config.noise_removal }];
}
