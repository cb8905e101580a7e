/** Every sampler, by the name people give it. */
export const SAMPLERS = [
  'ddim',
  'ddpm',
  'pndm',
  'euler',
  'euler-ancestral',
  'heun',
  'dpm-solver-multistep',
  'unipc',
  'lcm',
  'flow-match-euler',
  'flow-match-sde',
  'flow-match-dance',
  'flow-match-cps',
] as const;
export type SamplerName = (typeof SAMPLERS)[number];

/** Samplers whose steps have log-probabilities, for models that predict noise. */
export const LEARNABLE_SAMPLERS: readonly SamplerName[] = ['ddim', 'ddpm'];
