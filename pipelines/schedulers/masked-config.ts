import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { SEQUENCE_SAMPLERS } from './names.ts';

/** `scheduler_config.json` of a masked model. Unknown keys are kept. */
const maskedSchedulerConfig = z.looseObject({
  noise_schedule: z.literal('loglinear').default('loglinear'),
  /** The last share of the noise that time 1 leaves out: a position is masked with probability (1 − eps)·t. */
  eps: z.number().gt(0).lt(1).default(1e-3),
  num_inference_steps: z.int().min(1).max(100_000).default(128),
  sampler: z.enum(SEQUENCE_SAMPLERS).default('masked'),
  /** Time at which the steps end and what is still masked is filled in; 0: the last step reveals everything. */
  final_time: z.number().min(0).lt(1).default(1e-5),
  /** How it is filled in. */
  noise_removal: z.enum(['argmax', 'sample']).default('argmax'),
});
export type MaskedSchedulerConfig = z.output<typeof maskedSchedulerConfig>;

/**
 * Parses the configuration of a `MaskedScheduler`; absent keys are as in the released MDLM code.
 * @throws {NorthlightError} `scheduler/config` naming the key.
 */
export function parseMaskedSchedulerConfig(json: unknown, where = 'scheduler_config.json'): MaskedSchedulerConfig {
  const parsed = maskedSchedulerConfig.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new NorthlightError(
    'scheduler/config',
    `${where}: ${issue?.path.join('.') || 'the file'}: ${issue?.message ?? 'not a scheduler configuration'}.`,
    'Correct that key: a masked model has "noise_schedule": "loglinear", "eps" and "num_inference_steps".',
  );
}

/** Probability that a position is masked at time t, σ = −ln(1 − this) being the total noise. Sahoo et al. 2024, section 3.5. */
export function moveChance({ eps }: Pick<MaskedSchedulerConfig, 'eps'>, time: number): number {
  return (1 - eps) * time;
}
