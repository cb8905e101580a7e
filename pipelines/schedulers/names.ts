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

/** Samplers whose steps all have log-probabilities: the first two for models that predict noise, the others for flows. */
export const LEARNABLE_SAMPLERS: readonly SamplerName[] = ['ddim', 'ddpm', 'flow-match-sde', 'flow-match-dance'];

/** Samplers that draw noise on the way, without a memory of earlier steps: their samples can branch, so rewards can steer them. */
export const BRANCHING_SAMPLERS: readonly SamplerName[] = [
  ...LEARNABLE_SAMPLERS,
  'euler-ancestral',
  'lcm',
  'flow-match-cps',
];

/** Samplers whose noise `eta` sets; at 0 they draw none. */
export const ETA_SAMPLERS: readonly SamplerName[] = ['ddim', 'flow-match-sde', 'flow-match-dance', 'flow-match-cps'];
