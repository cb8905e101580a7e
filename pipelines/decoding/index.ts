import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { Decoding, Score, Steering } from '#pipelines/sampling/steering.ts';
import { bestOfN, bestOfNOptions } from './best-of-n.ts';
import type { Chain } from './chain.ts';
import { gaussianChain } from './gaussian-chain.ts';
import { maskedChain } from './masked-chain.ts';
import { smc, smcOptions } from './smc.ts';
import { svdd, svddOptions } from './svdd.ts';
import { completionValue, guessValue, type ValueFunction } from './value.ts';

/** A way for rewards to steer sampling. */
export interface Decoder<S extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  readonly title: string;
  /** What it does and what it costs. */
  readonly description: string;
  readonly source: string;
  readonly options: S;
  /** The option that says how many candidates or particles there are. */
  readonly countKey: string;
  perSample(options: z.output<S>): number;
  run<C, E>(chain: Chain<C, E>, score: Score, options: z.output<S>): Decoding;
}

function defineDecoder<S extends z.ZodObject>(decoder: Decoder<S>): Decoder {
  return decoder as unknown as Decoder;
}

const predicted = {
  value: z
    .enum(['guess', 'completions'])
    .default('guess')
    .describe('What an unfinished sample is worth: the reward of the best guess, or of random completions (sequences)'),
  draws: z.int().min(1).max(64).default(4).describe('Random completions of each candidate'),
};

function predictedValue<C, E>(
  chain: Chain<C, E>,
  score: Score,
  o: { value: 'guess' | 'completions'; draws: number; alpha: number },
): ValueFunction<C, E> {
  return o.value === 'guess' ? guessValue(chain, score) : completionValue(chain, score, o);
}

const decoders: readonly Decoder[] = [
  defineDecoder({
    name: 'best-of-n',
    title: 'Best of N',
    description: 'Makes N samples for each one and keeps the best. N times the work.',
    source: 'Stiennon et al. 2020, arXiv:2009.01325',
    options: bestOfNOptions,
    countKey: 'candidates',
    perSample: (o) => o.candidates,
    run: bestOfN,
  }),
  defineDecoder({
    name: 'smc',
    title: 'Particles (SMC)',
    description: 'A population of particles for each sample; promising ones multiply. N times the work.',
    source: 'Singhal et al. 2025, arXiv:2501.06848',
    options: smcOptions.extend(predicted),
    countKey: 'particles',
    perSample: (o) => o.particles,
    run: (chain, score, o) => smc(chain, predictedValue(chain, score, o), score, { ...o, output: 'draw' }),
  }),
  defineDecoder({
    name: 'svdd-pm',
    title: 'Value-based decoding (SVDD-PM)',
    description:
      'Several candidates at every step; goes on with one, by the reward of what it would become. M times the work.',
    source: 'Li et al. 2024, arXiv:2408.08252',
    options: svddOptions.extend(predicted),
    countKey: 'candidates',
    perSample: () => 1,
    run: (chain, score, o) => svdd(chain, predictedValue(chain, score, o), score, o),
  }),
];

/** Decoders by name. */
export const DECODERS: ReadonlyMap<string, Decoder> = new Map(decoders.map((d) => [d.name, d]));

/**
 * A decoder with its options.
 * @param options of its schema; unknown keys are refused.
 * @throws {NorthlightError} `decode/unknown`, `decode/option`.
 */
export function createSteering(name: string, options: Readonly<Record<string, unknown>>): Steering {
  const decoder = DECODERS.get(name);
  if (decoder === undefined) {
    throw new NorthlightError(
      'decode/unknown',
      `There is no decoder "${name}" in this version.`,
      `Use one of ${[...DECODERS.keys()].join(', ')}, or plain.`,
    );
  }
  const parsed = decoder.options.strict().safeParse(options);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new NorthlightError(
      'decode/option',
      `Decoder "${name}": ${issue?.path.join('.') || 'options'}: ${issue?.message}.`,
      `Its options are ${Object.keys(decoder.options.shape).join(', ')}.`,
    );
  }
  const given = parsed.data;
  return {
    name,
    options: given,
    perSample: decoder.perSample(given),
    gaussian: ({ denoiser, schedule, rows }, score) =>
      decoder.run(gaussianChain(denoiser, schedule, rows), score, given),
    masked: ({ denoiser, schedule, rows }, score) => decoder.run(maskedChain(denoiser, schedule, rows), score, given),
  };
}
