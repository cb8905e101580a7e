/** Progress of a state about to take a step, as a value network sees it: share of the steps, and two waves over them. */
export const CLOCK = 3;
export function clockOf(progress: number): readonly [number, number, number] {
  return [progress, Math.sin(Math.PI * progress), Math.cos(Math.PI * progress)];
}
