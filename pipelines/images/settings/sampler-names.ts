import type { SamplerName } from '#pipelines/schedulers/names.ts';

/** Our samplers by the names of other programs: A1111's is written, all of them are read. */
const NAMES: readonly (readonly [SamplerName, a1111: string, ...others: string[]])[] = [
  ['ddim', 'DDIM'],
  ['ddpm', 'DDPM'],
  ['pndm', 'PLMS', 'PNDM'],
  ['euler', 'Euler', 'k_euler'],
  ['euler-ancestral', 'Euler a', 'euler_ancestral', 'k_euler_a', 'k_euler_ancestral'],
  ['heun', 'Heun', 'k_heun'],
  ['dpm-solver-multistep', 'DPM++ 2M', 'dpmpp_2m', 'k_dpmpp_2m'],
  ['unipc', 'UniPC', 'uni_pc', 'uni_pc_bh2'],
  ['lcm', 'LCM'],
  // A flow-matching model makes the step that these programs call Euler.
  ['flow-match-euler', 'Euler'],
];

/** The name that A1111 and its relatives know; a sampler that they do not have keeps ours. */
export const a1111Sampler = (name: SamplerName): string => NAMES.find(([ours]) => ours === name)?.[1] ?? name;

/** Letters and digits only; "++" is written "pp" elsewhere. */
const plain = (name: string) =>
  name
    .toLowerCase()
    .replaceAll('++', 'pp')
    .replace(/[^a-z0-9]/g, '');

const BY_NAME = new Map<string, SamplerName>();
for (const [ours, ...names] of NAMES) {
  for (const name of [ours, ...names]) if (!BY_NAME.has(plain(name))) BY_NAME.set(plain(name), ours);
}

/** Noise schedules that older programs write behind the sampler's name. */
const SCHEDULE = /^(.*?)[ _]+(karras|exponential|trailing|k)$/i;

export interface ReadSampler {
  readonly sampler: SamplerName | null;
  readonly samplerName: string | null;
  readonly schedule: string | null;
}

/** A foreign sampler ("DPM++ 2M Karras", `dpmpp_2m`) as ours, with the noise schedule that its name carries. */
export function readSampler(name: string | null, schedule: string | null = null): ReadSampler {
  if (name === null || name === '') return { sampler: null, samplerName: null, schedule };
  const [, base, suffix] = SCHEDULE.exec(name.slice(0, 200)) ?? [];
  const whole = BY_NAME.get(plain(name));
  if (whole !== undefined || base === undefined || suffix === undefined) {
    return { sampler: whole ?? null, samplerName: name, schedule };
  }
  const named = suffix.toLowerCase() === 'k' ? 'Karras' : suffix;
  return { sampler: BY_NAME.get(plain(base)) ?? null, samplerName: name, schedule: schedule ?? named };
}
