import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';

const beta = z.number().gt(0).lt(1);

/** `scheduler_config.json` as diffusers publishes it, for the variance-preserving family. Unknown keys are kept. */
const schedulerConfig = z
  .looseObject({
    _class_name: z.string().default('DDIMScheduler'),
    num_train_timesteps: z.number().int().min(1).default(1000),
    beta_start: beta.default(0.0001),
    beta_end: beta.default(0.02),
    beta_schedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2']).default('linear'),
    trained_betas: z
      .array(z.number().min(0).lte(1))
      .nullish()
      .transform((v) => v ?? null),
    prediction_type: z.enum(['epsilon', 'v_prediction', 'sample', 'flow_velocity']).default('epsilon'),
    timestep_spacing: z.enum(['leading', 'linspace', 'trailing']).default('leading'),
    steps_offset: z.number().int().min(0).default(0),
    set_alpha_to_one: z.boolean().default(true),
    clip_sample: z.boolean().optional(),
    clip_sample_range: z.number().gt(0).default(1),
    thresholding: z.boolean().default(false),
    rescale_betas_zero_snr: z.boolean().default(false),
    variance_type: z
      .string()
      .nullish()
      .transform((v) => v ?? 'fixed_small'),
  })
  .transform((config) => ({
    ...config,
    clip_sample: config.clip_sample ?? (config._class_name.startsWith('DDPM') || config._class_name.startsWith('DDIM')),
  }));

export type SchedulerConfig = z.output<typeof schedulerConfig>;

/**
 * Parses `scheduler_config.json`, with diffusers' defaults for absent keys; unknown keys are kept and ignored.
 * Deviation: `clip_sample` defaults to true only for DDPM and DDIM, as in their own classes. The other samplers have no
 * such key, and clamping the latents of their models to ±1 would ruin them.
 * @throws {NorthlightError} `scheduler/config` naming the key.
 */
export function parseSchedulerConfig(json: unknown, where = 'scheduler_config.json'): SchedulerConfig {
  const parsed = schedulerConfig.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const key = issue?.path.join('.') || 'the file';
    throw new NorthlightError(
      'scheduler/config',
      `${where}: ${key}: ${issue?.message ?? 'not a scheduler configuration'}.`,
      'Correct that key, or copy scheduler_config.json again from where the model was published.',
    );
  }
  return parsed.data;
}
