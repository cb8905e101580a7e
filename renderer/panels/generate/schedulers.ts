import type { SamplerName } from '#pipelines/engine/contract.ts';

/** Samplers offered for models that predict noise; `learnable`: its steps have the log-probabilities that tuning needs. */
export const SCHEDULERS: readonly { value: SamplerName; label: string; learnable: boolean }[] = [
  { value: 'ddim', label: 'DDIM', learnable: true },
  { value: 'ddpm', label: 'DDPM', learnable: true },
  { value: 'euler', label: 'Euler', learnable: false },
  { value: 'euler-ancestral', label: 'Euler ancestral', learnable: false },
  { value: 'heun', label: 'Heun', learnable: false },
  { value: 'dpm-solver-multistep', label: 'DPM-Solver++ (2M)', learnable: false },
  { value: 'unipc', label: 'UniPC', learnable: false },
  { value: 'pndm', label: 'PNDM', learnable: false },
];

export const schedulerNamed = (name: string) => SCHEDULERS.find((s) => s.value === name);
