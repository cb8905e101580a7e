import { z } from 'zod';
import type { Decoded, Decoding, Rival, Score } from '#pipelines/sampling/steering.ts';
import { askMissing, stillTrue } from './ask.ts';
import type { At, Chain } from './chain.ts';
import { type Resample, ssp, systematic } from './resample.ts';
import type { ValueFunction } from './value.ts';
import { categorical, effectiveSampleSize, logMeanExp } from './weights.ts';

export const smcOptions = z.object({
  particles: z.int().min(1).max(4096).default(8).describe('Particles of each population (N)'),
  alpha: z.number().gt(0).default(0.1).describe('Temperature: the population follows p·exp(r/α)'),
  potential: z
    .enum(['difference', 'max', 'sum'])
    .default('difference')
    .describe('What a step weighs: the change of the predicted reward, its running maximum, or its running sum'),
  every: z.int().min(1).default(1).describe('Steps between weighings'),
  threshold: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('Resample when the effective sample size falls below this share of the particles'),
  resampling: z.enum(['systematic', 'ssp']).default('systematic').describe('How children are shared out'),
  output: z
    .enum(['all', 'draw'])
    .default('draw')
    .describe('all: every particle with its weight; draw: one of each population, drawn by weight'),
});
export type SmcOptions = z.output<typeof smcOptions>;

const RESAMPLE: Readonly<Record<SmcOptions['resampling'], Resample>> = { systematic, ssp };

/**
 * Sequential Monte Carlo (Feynman–Kac steering, Singhal et al. 2025, arXiv:2501.06848) with potentials of the predicted reward.
 * Rows are the particles: `particles` neighbours are one population. Potentials: exp((r̂ − r̂_before)/α), exp((max − max_before)/α), or
 * exp(r̂/α); the last one makes their product exp(r(x₀)/α), so E[Ẑ] = Z for any of them.
 *
 * Deviation: the released code ends `max` and `sum` at the running maximum and sum, clamps weights, and throws weights away where it
 * does not resample; here they are carried in logarithms.
 * With output `draw`, the log-weight of a population's sample is its log Ẑ.
 */
export async function* smc<S, E>(
  chain: Chain<S, E>,
  value: ValueFunction<S, E>,
  score: Score,
  options: SmcOptions,
): Decoding {
  const { steps } = chain;
  const rows = Array.from({ length: chain.rows }, (_, row) => row);
  const populations = chunks(rows, options.particles).map((own) => ({ rows: own, logZ: 0 }));
  let states = rows.map(chain.start);
  let said: (E | undefined)[] = rows.map(() => undefined);
  let particles = rows.map((): Particle => ({ logWeight: 0, tilt: 0, peak: Number.NEGATIVE_INFINITY, last: null }));
  let rewards = new Float64Array(chain.rows);
  /** Which row of the last comparison each row comes from. */
  let origins: (number | null)[] = rows.map(() => null);

  for (let i = 0; i < steps; i++) {
    const at = rows.map((row): At<S> => ({ row, state: states[row]! }));
    const answers = await askMissing(chain, i, at, said);
    const guess = (row: number) => chain.guess(i, at[row]!, answers[row]!);
    states = rows.map((row) => chain.draw(i, at[row]!, answers[row]!, 0, false));
    said = rows.map((row) => stillTrue(chain, at[row]!.state, states[row]!, answers[row]!));
    const done = i + 1 === steps;
    let values: Float64Array | null = null;
    if (done) {
      rewards = Float64Array.from(await score(states.map(chain.finished), rows));
      values = rewards;
    } else if (options.particles > 1 && (i + 1) % options.every === 0) {
      const now = rows.map((row): At<S> => ({ row, state: states[row]! }));
      if (value.asksNetwork) said = await askMissing(chain, i + 1, now, said);
      values = await value.values(i + 1, now, value.asksNetwork ? (said as E[]) : []);
    }
    let ancestors = rows;
    const drawn = states;
    const answered = said;
    if (values !== null) {
      const weighed = values;
      particles = particles.map((p, row) => weigh(p, weighed[row]!, done, options));
      if (!done) ancestors = resample(chain, i, populations, particles, options);
      [states, said] = [ancestors.map((a) => states[a]!), ancestors.map((a) => said[a])];
    }
    const before = origins;
    const parents = new Set(ancestors);
    const rivalOf = (row: number): Rival => ({
      value: values![row]!,
      parent: before[row]!,
      wentOn: parents.has(row),
      guess() {
        const state = drawn[row]!;
        if (done) return chain.finished(state);
        const answer = answered[row];
        return answer === undefined ? null : chain.guess(i + 1, { row, state }, answer);
      },
    });
    yield {
      step: i + 1,
      total: steps,
      guess,
      values: rows.map((row) => (values === null ? new Float64Array() : Float64Array.of(values[row]!))),
      chosen: ancestors,
      rivals: (row) => (values === null ? [] : [rivalOf(row)]),
    };
    if (values !== null) origins = [...ancestors];
  }
  return result(chain, populations, particles, states, rewards, options);
}

interface Population {
  readonly rows: readonly number[];
  /** Of the resamplings so far. */
  logZ: number;
}

interface Particle {
  /** Since the last resampling. */
  readonly logWeight: number;
  /** Sum of all log-potentials so far. */
  readonly tilt: number;
  /** Largest predicted reward so far. */
  readonly peak: number;
  readonly last: number | null;
}

function weigh(p: Particle, value: number, done: boolean, { alpha, potential }: SmcOptions): Particle {
  const peak = Math.max(p.peak, value);
  const logPotential = done
    ? value / alpha - p.tilt
    : potential === 'sum' || p.last === null
      ? value / alpha
      : potential === 'max'
        ? (peak - p.peak) / alpha
        : (value - p.last) / alpha;
  return { logWeight: p.logWeight + logPotential, tilt: p.tilt + logPotential, peak, last: value };
}

/** The ancestor of every particle; populations with even weights stay as they are. Changes `particles` and log Ẑ. */
function resample<S, E>(
  chain: Chain<S, E>,
  step: number,
  populations: readonly Population[],
  particles: Particle[],
  { threshold, resampling }: SmcOptions,
): number[] {
  return populations.flatMap((population) => {
    const own = population.rows;
    const logWeights = Float64Array.from(own, (row) => particles[row]!.logWeight);
    if (effectiveSampleSize(logWeights) >= threshold * own.length) return own;
    population.logZ += logMeanExp(logWeights);
    const before = own.map((row) => particles[row]!);
    const children = RESAMPLE[resampling](logWeights, chain.rng(own[0]!, step, 'resample'));
    for (const [k, parent] of children.entries()) particles[own[k]!] = { ...before[parent]!, logWeight: 0 };
    return Array.from(children, (parent) => own[parent]!);
  });
}

function result<S, E>(
  chain: Chain<S, E>,
  populations: readonly Population[],
  particles: readonly Particle[],
  states: readonly S[],
  rewards: Float64Array,
  { output }: SmcOptions,
): Decoded {
  const kept = populations.flatMap(({ rows, logZ }) => {
    const logWeights = Float64Array.from(rows, (row) => particles[row]!.logWeight);
    if (output === 'all') return rows.map((row, k) => ({ row, logWeight: logZ + logWeights[k]! }));
    const row = rows[categorical(logWeights, chain.rng(rows[0]!, 'output'))]!;
    return [{ row, logWeight: logZ + logMeanExp(logWeights) }];
  });
  return {
    samples: kept.map(({ row }) => chain.finished(states[row]!)),
    rewards: Float64Array.from(kept, ({ row }) => rewards[row]!),
    logWeights: Float64Array.from(kept, (k) => k.logWeight),
  };
}

function chunks(rows: readonly number[], size: number): number[][] {
  return Array.from({ length: Math.ceil(rows.length / size) }, (_, i) => rows.slice(i * size, (i + 1) * size));
}
