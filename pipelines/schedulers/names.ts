/** Every sampler of pictures and other arrays of numbers, by the name people give it. */
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

/** Samplers of sequences of tokens, for models that fill in masked positions. */
export const SEQUENCE_SAMPLERS = ['masked', 'masked-one-at-a-time'] as const;
export type SequenceSamplerName = (typeof SEQUENCE_SAMPLERS)[number];

/** Samplers whose steps have log-probabilities, for models that predict noise. */
export const LEARNABLE_SAMPLERS: readonly SamplerName[] = ['ddim', 'ddpm'];
