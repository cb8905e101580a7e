import { createHash } from 'node:crypto';
import { z } from 'zod';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** All that decides what the samples of a bank are, besides how many there are. */
export const bankIdentity = z.object({
  kind: z.enum(['image', 'sequence']),
  /** SHA-256 of the model folder. */
  model: sha256,
  adapters: z.array(z.object({ sha256, weight: z.number() })),
  /** What was asked for, each once, in order; of sequences a class, or nothing. */
  prompts: z.array(z.string()).min(1),
  /** Sampler, steps, guidance, size: everything that a sample depends on, and the seed that all of them start from. */
  settings: z.record(z.string(), z.json()),
  seed: z.int(),
  provider: z.string(),
});
export type BankIdentity = z.infer<typeof bankIdentity>;

/** SHA-256 of an identity, whatever the order of its keys. */
export function bankKey(identity: BankIdentity): string {
  return createHash('sha256')
    .update(canonical(bankIdentity.parse(identity)))
    .digest('hex');
}

/** JSON with the keys of objects in order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/**
 * Where all banks start: far from the seeds that people type, so that what is compared with a bank is not of it, and the same
 * bank serves every run.
 */
export const BANK_SEED = 0x6e_6f_72_74;

/** The prompts of a bank: each once and in order, so that one set of prompts has one bank. */
export const promptSet = (prompts: readonly string[]): string[] => [...new Set(prompts)].sort();

const PER_PROMPT = 64;
const AT_LEAST = 256;

/** Samples of a bank that nobody said more about: 64 for each prompt and 256 in all. */
export const defaultSamples = (prompts: number): number => Math.max(PER_PROMPT * prompts, AT_LEAST);
