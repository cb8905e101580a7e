import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { type LoraModule, summarise } from './adapter.ts';

/** What of PEFT's `LoraConfig` decides numbers. Unknown keys are kept out of sight. */
export interface AdapterConfig {
  readonly r?: number | undefined;
  readonly lora_alpha?: number | undefined;
  readonly use_rslora?: boolean | null | undefined;
  readonly alpha_pattern?: Readonly<Record<string, number>> | null | undefined;
}

const number = z.number().refine(Number.isFinite, 'must be finite');
const schema = z.looseObject({
  peft_type: z.string().nullish(),
  r: number.optional(),
  lora_alpha: number.optional(),
  use_rslora: z.boolean().nullish(),
  use_dora: z.boolean().nullish(),
  bias: z.string().nullish(),
  lora_bias: z.boolean().nullish(),
  fan_in_fan_out: z.boolean().nullish(),
  modules_to_save: z.array(z.string()).nullish(),
  rank_pattern: z.record(z.string(), number).nullish(),
  alpha_pattern: z.record(z.string(), number).nullish(),
});

type Refuse = (kind: string, key: string) => void;

/**
 * @param refuse told of settings that make the adapter something else than low-rank pairs.
 * @throws {NorthlightError} `lora/config` when it is not a configuration of PEFT.
 */
export function parseAdapterConfig(value: unknown, where: string, refuse: Refuse): AdapterConfig {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new NorthlightError(
      'lora/config',
      `${where} is not an adapter configuration: ${issue?.path.join('.') || 'the whole'}: ${issue?.message}.`,
      'Get the adapter again, with the configuration it was saved with.',
    );
  }
  const { data } = parsed;
  if (data.peft_type && data.peft_type !== 'LORA') refuse(data.peft_type, 'peft_type');
  if (data.use_dora) refuse('DoRA', 'use_dora');
  if (data.bias && data.bias !== 'none') refuse('LoRA with biases', `bias: ${data.bias}`);
  if (data.lora_bias) refuse('LoRA with biases', 'lora_bias');
  if (data.modules_to_save && data.modules_to_save.length > 0) refuse('LoRA with whole modules', 'modules_to_save');
  return data;
}

/** diffusers keeps the configurations of all networks in one object: `unet.r`, `text_encoder.lora_alpha`. Key '': no prefix. */
export function splitByComponent(value: unknown, where: string, refuse: Refuse): Map<string, AdapterConfig> {
  const fields = z.record(z.string(), z.unknown()).safeParse(value);
  const parts = new Map<string, Record<string, unknown>>();
  for (const [key, field] of Object.entries(fields.data ?? {})) {
    const [, prefix = '', name = key] = /^(unet|transformer|text_encoder(?:_[23])?)\.(.+)$/.exec(key) ?? [];
    const component = prefix === 'unet' || prefix === 'transformer' ? 'denoiser' : prefix;
    parts.set(component, { ...parts.get(component), [name]: field });
  }
  return new Map([...parts].map(([component, part]) => [component, parseAdapterConfig(part, where, refuse)]));
}

/**
 * The alpha that gives the configured scale: lora_alpha / r, or with `use_rslora` lora_alpha / √r (Kalajdzievski 2023,
 * arXiv:2312.03732). A key of `alpha_pattern` is an expression for the end of a module's path, whole segments.
 */
export function alphaFor(config: AdapterConfig, module: string, rank: number): number {
  const pattern = Object.entries(config.alpha_pattern ?? {}).find(([key]) => matchesEnd(key, module));
  const alpha = pattern?.[1] ?? config.lora_alpha ?? rank;
  return config.use_rslora ? alpha * Math.sqrt(rank) : alpha;
}

function matchesEnd(key: string, module: string): boolean {
  try {
    return new RegExp(`^(?:.*\\.)?(?:${key})$`).test(module) || new RegExp(`^(?:${key})$`).test(module);
  } catch {
    return module === key || module.endsWith(`.${key}`);
  }
}

/** The configuration of one network's modules, as PEFT saves it. Exact module paths, so that nothing else is adapted. */
export function adapterConfig(modules: readonly LoraModule[]): Record<string, unknown> {
  const { rank, alpha, different } = summarise(modules);
  const exactly = (m: LoraModule) => `^${m.module.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`;
  const ranks = different.filter((m) => m.down.dims[0] !== rank).map((m) => [exactly(m), m.down.dims[0]!] as const);
  const alphas = different.filter((m) => m.alpha !== alpha).map((m) => [exactly(m), m.alpha] as const);
  return {
    alpha_pattern: Object.fromEntries(alphas),
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: 'LORA',
    r: rank,
    rank_pattern: Object.fromEntries(ranks),
    target_modules: modules.map((m) => m.module).sort(),
    task_type: null,
    use_dora: false,
    use_rslora: false,
  };
}
