import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';

const perChannel = z.array(z.number()).min(1).max(3);
const side = z.number().int().min(1).max(8192);

const manifest = z.looseObject({
  /** Name of the model's input and output, where it has several. */
  input: z.string().optional(),
  output: z.string().optional(),
  /** Column of an output `[B, K]`; must be said when K > 1. */
  outputIndex: z.number().int().min(0).optional(),
  /** Names of those columns. */
  outputs: z.array(z.string().min(1)).optional(),
  /** Pictures are resized to this: one side of a square, or `[height, width]`. */
  size: z.union([side.transform((s) => [s, s] as const), z.tuple([side, side])]).optional(),
  /** Values that black and white become, before mean and std. */
  range: z.tuple([z.number(), z.number()]).default([0, 1]),
  /** Taken off and divided by, per channel, after the range. */
  mean: perChannel.default([0]),
  std: z
    .array(z.number().refine((v) => v !== 0, 'must not be 0'))
    .min(1)
    .max(3)
    .default([1]),
  layout: z.enum(['NCHW', 'NHWC']).default('NCHW'),
  /** Letters of a scorer of sequences, by channel or token id. */
  alphabet: z.string().min(2).default('ACGT'),
  higherIsBetter: z.boolean().default(true),
  name: z.string().min(1).optional(),
  licence: z.string().optional(),
});
/** What `reward.json` beside a scorer says of it. */
export type RewardManifest = z.output<typeof manifest>;

/**
 * Reads `reward.json` in the folder of an ONNX scorer; defaults where there is none.
 * @throws {NorthlightError} `reward/manifest` naming the key.
 */
export function readRewardManifest(modelPath: string): RewardManifest {
  const path = join(dirname(modelPath), 'reward.json');
  if (!existsSync(path)) return manifest.parse({});
  const refuse = (why: string, cause?: unknown) =>
    new NorthlightError('reward/manifest', `${path}: ${why}.`, 'Correct the file, or remove it to use the defaults.', {
      cause,
    });
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw refuse('it is not readable JSON', error);
  }
  const parsed = manifest.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw refuse(`${issue.path.join('.') || 'the file'}: ${issue.message}`);
  }
  return parsed.data;
}
