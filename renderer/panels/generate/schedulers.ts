import type { Model, SamplerName } from '#pipelines/engine/contract.ts';

/** What the form knows of a sampler. */
export interface Scheduler {
  readonly value: SamplerName;
  readonly label: string;
  /** Its steps have the log-probabilities that tuning needs. */
  readonly learnable: boolean;
  /** Its samples can branch, so that a reward can steer them. */
  readonly branching: boolean;
  /** `eta` sets its noise. */
  readonly eta: boolean;
}

const scheduler = (
  value: SamplerName,
  label: string,
  can: readonly ('learn' | 'branch' | 'eta')[] = [],
): Scheduler => ({
  value,
  label,
  learnable: can.includes('learn'),
  branching: can.includes('branch'),
  eta: can.includes('eta'),
});

export const SCHEDULERS: readonly Scheduler[] = [
  scheduler('ddim', 'DDIM', ['learn', 'branch', 'eta']),
  scheduler('ddpm', 'DDPM', ['learn', 'branch']),
  scheduler('flow-match-sde', 'Flow, with noise (SDE)', ['learn', 'branch', 'eta']),
  scheduler('flow-match-dance', 'Flow, constant noise (Dance)', ['learn', 'branch', 'eta']),
  scheduler('flow-match-euler', 'Flow (Euler)'),
  scheduler('flow-match-cps', 'Flow, kept coefficients (CPS)', ['branch', 'eta']),
  scheduler('euler', 'Euler'),
  scheduler('euler-ancestral', 'Euler ancestral', ['branch']),
  scheduler('heun', 'Heun'),
  scheduler('dpm-solver-multistep', 'DPM-Solver++ (2M)'),
  scheduler('unipc', 'UniPC'),
  scheduler('pndm', 'PNDM'),
  scheduler('lcm', 'LCM', ['branch']),
];

export const schedulerNamed = (name: string) => SCHEDULERS.find((s) => s.value === name);

/** What a batch asks of its sampler. */
export interface SchedulerNeeds {
  readonly keepTrajectories: boolean;
  readonly steered: boolean;
}

/** Samplers that a model can draw with and that do what is asked, the usual one first. */
export function offeredSchedulers(sampling: Model['sampling'] | undefined, needs: SchedulerNeeds): Scheduler[] {
  return SCHEDULERS.filter(
    (s) =>
      (!sampling || sampling.samplers.includes(s.value)) &&
      (needs.steered ? s.branching : !needs.keepTrajectories || s.learnable),
  );
}
