import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { Decoding, DecodingAids, Score, Steering } from '#pipelines/sampling/steering.ts';
import { beam, beamOptions, beamWork } from './beam.ts';
import { bestOfN, bestOfNOptions } from './best-of-n.ts';
import type { Chain } from './chain.ts';
import { gaussianChain } from './gaussian-chain.ts';
import { gradient, gradientOptions } from './gradient.ts';
import { maskedChain } from './masked-chain.ts';
import { revise, reviseOptions } from './revise.ts';
import { smc, smcOptions } from './smc.ts';
import { svddMc, svddMcOptions } from './svdd-mc.ts';
import { svddPm, svddPmOptions, svddPmWork } from './svdd-pm.ts';
import { tree, treeOptions } from './tree.ts';
import { needsRelaxed, predicted, predictedValue } from './value.ts';

/** Calls for one sample. Plain sampling takes as many of the denoiser as there are steps, and none of the reward. */
export interface DecodingWork {
  readonly denoiserCalls: number;
  readonly rewardCalls: number;
}

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
  /**
   * What one sample takes, where every step but the last is random and an unfinished sample is worth its best guess. Absent where that
   * depends on what is found.
   */
  readonly work?: (options: z.output<S>, steps: number) => DecodingWork;
  /** Whether it has to know the gradient of the reward. */
  readonly needsGradient?: boolean;
  /** Whether, so set, that gradient goes back through the network. */
  readonly throughNetwork?: (options: z.output<S>) => boolean;
  /** Whether, so set, it asks the reward about samples that are not finished. */
  readonly asksRelaxed?: (options: z.output<S>) => boolean;
  run<C, E>(chain: Chain<C, E>, score: Score, options: z.output<S>, aids?: DecodingAids): Decoding;
}

function defineDecoder<S extends z.ZodObject>(decoder: Decoder<S>): Decoder {
  return decoder as unknown as Decoder;
}

/** Of methods that have no other use for one. */
const completionAlpha = z.number().gt(0).default(0.1).describe('Temperature of the average over random completions');

const decoders: readonly Decoder[] = [
  defineDecoder({
    name: 'best-of-n',
    title: 'Best of N',
    description: 'Makes N samples for each one and keeps the best. N times the work.',
    source: 'Stiennon et al. 2020, arXiv:2009.01325',
    options: bestOfNOptions,
    countKey: 'candidates',
    perSample: (o) => o.candidates,
    work: (o, steps) => ({ denoiserCalls: o.candidates * steps, rewardCalls: o.candidates }),
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
    work: ({ particles, every }, steps) => ({
      denoiserCalls: particles * steps,
      rewardCalls: particles * ((particles > 1 ? Math.floor((steps - 1) / every) : 0) + 1),
    }),
    asksRelaxed: needsRelaxed,
    run: (chain, score, o, aids) =>
      smc(chain, predictedValue(chain, score, o, aids?.slope), score, { ...o, output: 'draw' }),
  }),
  defineDecoder({
    name: 'svdd-pm',
    title: 'Value-based decoding (SVDD-PM)',
    description:
      'Several candidates at every step; goes on with one, by the reward of what it would become. M times the work.',
    source: 'Li et al. 2024, arXiv:2408.08252',
    options: svddPmOptions,
    countKey: 'candidates',
    perSample: () => 1,
    work: svddPmWork,
    asksRelaxed: needsRelaxed,
    run: svddPm,
  }),
  defineDecoder({
    name: 'svdd-mc',
    title: 'Value-based decoding with a value network (SVDD-MC)',
    description:
      'Several candidates at every step; goes on with one, by a network trained for this model and reward. Little more work than plain sampling.',
    source: 'Li et al. 2024, arXiv:2408.08252',
    options: svddMcOptions,
    countKey: 'candidates',
    perSample: () => 1,
    work: (o, steps) => ({ denoiserCalls: steps, rewardCalls: o.candidates }),
    run: svddMc,
  }),
  defineDecoder({
    name: 'gradient',
    title: 'Gradient guidance',
    description: 'Every step leans towards where the reward grows. About the work of plain sampling; needs a gradient.',
    source: 'Chung et al. 2023, arXiv:2209.14687; Liu et al. 2025, arXiv:2501.13918',
    options: gradientOptions,
    countKey: 'candidates',
    needsGradient: true,
    perSample: (o) => o.candidates,
    work: (o, steps) => ({ denoiserCalls: o.candidates * steps, rewardCalls: o.candidates * (steps + 1) }),
    throughNetwork: (o) => o.through === 'network',
    run: gradient,
  }),
  defineDecoder({
    name: 'beam',
    title: 'Beam search',
    description:
      'Several unfinished samples side by side; each branches and the best of all go on. Width times branch times the work.',
    source: 'Li et al. 2025, arXiv:2503.02039; Guo et al. 2025, arXiv:2502.11420',
    options: beamOptions.extend({ ...predicted, alpha: completionAlpha }),
    countKey: 'width',
    perSample: () => 1,
    work: beamWork,
    asksRelaxed: needsRelaxed,
    run: (chain, score, o, aids) => beam(chain, predictedValue(chain, score, o, aids?.slope), score, o),
  }),
  defineDecoder({
    name: 'revise',
    title: 'Revisions',
    description:
      'Takes finished samples part of the way back and forth again, guided by the reward; keeps what is better.',
    source: 'Uehara et al. 2025, arXiv:2502.14944',
    options: reviseOptions.extend(predicted),
    countKey: 'candidates',
    perSample: () => 1,
    asksRelaxed: needsRelaxed,
    run: (chain, score, o, aids) => revise(chain, (own) => predictedValue(own, score, o, aids?.slope), score, o),
  }),
  defineDecoder({
    name: 'tree',
    title: 'Tree search',
    description:
      'Grows a tree of partly finished samples, more where rewards are good; gives the best one it finished. Costs its budget.',
    source: 'after Zhang et al. 2024, arXiv:2406.03816',
    options: treeOptions,
    countKey: 'branch',
    perSample: () => 1,
    run: tree,
  }),
];

/** Whether an option says what samples are worth that are not finished, which for pictures is one and the same. */
export const isAheadOption = ({ options }: Decoder, key: string): boolean =>
  key === 'value' && options.shape.value === predicted.value;

/** Decoders by name. */
export const DECODERS: ReadonlyMap<string, Decoder> = new Map(decoders.map((d) => [d.name, d]));

/**
 * What one sample takes; null where that depends on what is found.
 * @throws {NorthlightError} as {@link createSteering} does.
 */
export function decodingWork(
  name: string,
  options: Readonly<Record<string, unknown>>,
  steps: number,
): DecodingWork | null {
  const { decoder, given } = parse(name, options);
  return decoder.work?.(given, steps) ?? null;
}

/**
 * A decoder with its options.
 * @param options of its schema; unknown keys are refused.
 * @throws {NorthlightError} `decode/unknown`, `decode/option`.
 */
export function createSteering(name: string, options: Readonly<Record<string, unknown>>): Steering {
  const { decoder, given } = parse(name, options);
  const valueCalls = { count: 0 };
  const gradientCalls = { count: 0 };
  return {
    name,
    options: given,
    perSample: decoder.perSample(given),
    needsGradient: decoder.needsGradient ?? decoder.asksRelaxed?.(given) ?? false,
    throughNetwork: decoder.throughNetwork?.(given) ?? false,
    valueCalls,
    gradientCalls,
    gaussian: ({ denoiser, schedule, rows, slope }, score, aids) =>
      decoder.run(gaussianChain(denoiser, schedule, rows, slope), score, given, { ...aids, valueCalls, gradientCalls }),
    masked: ({ denoiser, schedule, rows }, score, aids) =>
      decoder.run(maskedChain(denoiser, schedule, rows), score, given, { ...aids, valueCalls, gradientCalls }),
  };
}

function parse(name: string, options: Readonly<Record<string, unknown>>) {
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
  return { decoder, given: parsed.data };
}
