import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';

const beta = z.number().gt(0).lt(1);
const optional = <T extends z.ZodType>(type: T) => type.nullish().transform((v) => (v ?? null) as z.output<T> | null);

/** `scheduler_config.json` as diffusers publishes it. Unknown keys are kept. */
const schedulerConfig = z
  .looseObject({
    _class_name: z.string().default('DDIMScheduler'),
    num_train_timesteps: z.number().int().min(1).default(1000),
    prediction_type: z.enum(['epsilon', 'v_prediction', 'sample', 'flow_velocity']).optional(),
    // The forward process
    beta_start: beta.default(0.0001),
    beta_end: beta.default(0.02),
    beta_schedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2']).default('linear'),
    trained_betas: optional(z.array(z.number().min(0).lte(1))),
    rescale_betas_zero_snr: z.boolean().default(false),
    // Where the network is asked
    timestep_spacing: z.enum(['leading', 'linspace', 'trailing']).optional(),
    steps_offset: z.number().int().min(0).default(0),
    set_alpha_to_one: z.boolean().optional(),
    use_karras_sigmas: z.boolean().nullish().transform(Boolean),
    use_exponential_sigmas: z.boolean().nullish().transform(Boolean),
    use_beta_sigmas: z.boolean().nullish().transform(Boolean),
    sigma_min: optional(z.number().positive()),
    sigma_max: optional(z.number().positive()),
    final_sigmas_type: z.enum(['zero', 'sigma_min']).default('zero'),
    interpolation_type: z.enum(['linear', 'log_linear']).default('linear'),
    timestep_type: z.enum(['discrete', 'continuous']).default('discrete'),
    // What is done with the predicted clean sample
    clip_sample: z.boolean().optional(),
    clip_sample_range: z.number().gt(0).default(1),
    thresholding: z.boolean().default(false),
    dynamic_thresholding_ratio: z.number().gt(0).lte(1).default(0.995),
    sample_max_value: z.number().min(1).default(1),
    variance_type: optional(z.string()),
    // Solvers
    algorithm_type: z.enum(['dpmsolver', 'dpmsolver++', 'sde-dpmsolver', 'sde-dpmsolver++']).default('dpmsolver++'),
    solver_order: z.number().int().min(1).max(3).default(2),
    solver_type: optional(z.enum(['midpoint', 'heun', 'bh1', 'bh2', 'logrho'])),
    lower_order_final: z.boolean().default(true),
    euler_at_final: z.boolean().default(false),
    disable_corrector: z.array(z.number().int()).default([]),
    skip_prk_steps: z.boolean().default(false),
    original_inference_steps: z.number().int().min(1).default(50),
    timestep_scaling: z.number().positive().default(10),
    // Flow matching
    shift: z.number().positive().default(1),
    shift_terminal: optional(z.number().positive().lt(1)),
    use_dynamic_shifting: z.boolean().default(false),
    base_shift: optional(z.number()),
    max_shift: optional(z.number()),
    base_image_seq_len: optional(z.number().positive()),
    max_image_seq_len: optional(z.number().positive()),
    time_shift_type: z.enum(['exponential', 'linear']).default('exponential'),
  })
  .transform((config) => {
    const is = (...names: string[]) => names.some((name) => config._class_name.startsWith(name));
    return {
      ...config,
      prediction_type: config.prediction_type ?? (is('FlowMatch') ? ('flow_velocity' as const) : ('epsilon' as const)),
      clip_sample: config.clip_sample ?? is('DDPM', 'DDIM'),
      timestep_spacing:
        config.timestep_spacing ??
        (is('Euler', 'Heun', 'DPMSolver', 'UniPC', 'KDPM2', 'LMS', 'DEIS')
          ? ('linspace' as const)
          : ('leading' as const)),
      set_alpha_to_one: config.set_alpha_to_one ?? !is('PNDM'),
      variance_type: config.variance_type ?? 'fixed_small',
    };
  });

export type SchedulerConfig = z.output<typeof schedulerConfig>;

/**
 * Parses `scheduler_config.json`, with diffusers' defaults of the named class for absent keys; unknown keys are kept and ignored.
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
