import type { Decoding, Score, Steering } from '#pipelines/sampling/steering.ts';
import type { Chain } from './chain.ts';
import { gaussianChain } from './gaussian-chain.ts';
import { maskedChain } from './masked-chain.ts';
import { plain } from './plain.ts';

/** A state on the way of a sample, about to take a step. */
export interface ValueState {
  readonly features: Float32Array;
  /** Share of the steps already taken. */
  readonly progress: number;
  /** Which of the rewards its sample ended in. */
  readonly sample: number;
  /** Reward of the best guess that the network made of it. */
  readonly guessed: number;
}

/** States of plain sampling, with the rewards they ended in. */
export interface ValueData {
  /** Shape of a state, channels first. */
  readonly dims: readonly number[];
  readonly states: readonly ValueState[];
  readonly rewards: Float64Array;
}

/** Plain sampling of every row, with `statesEach` of its states, at random steps, handed over when it is done. */
export async function* collectValueData<S, E>(
  chain: Chain<S, E>,
  score: Score,
  statesEach: number,
  keep: (data: ValueData) => void,
): Decoding {
  const wanted = Array.from({ length: chain.rows }, (_, row) => {
    const steps = Array.from({ length: chain.steps }, (__, step) => step);
    return new Set(chain.rng(row, 'value-steps').shuffle(steps).slice(0, statesEach));
  });
  const states: ValueState[] = [];
  const watched: Chain<S, E> = {
    ...chain,
    async evaluate(step, asked) {
      const said = await chain.evaluate(step, asked);
      const kept = asked.flatMap((at, i) => (wanted[at.row]!.has(step) ? [{ at, said: said[i]! }] : []));
      if (kept.length === 0) return said;
      const guessed = await score(
        kept.map((k) => chain.guess(step, k.at, k.said)),
        kept.map((k) => k.at.row),
      );
      for (const [i, { at }] of kept.entries()) {
        const features = chain.features(step, at.state);
        states.push({ features, progress: step / chain.steps, sample: at.row, guessed: guessed[i]! });
      }
      return said;
    },
  };
  const decoded = yield* plain(watched, score);
  keep({ dims: chain.featureDims, states, rewards: decoded.rewards });
  return decoded;
}

/** Plain sampling that collects what a value network learns from, in the place of steering. */
export function valueCollector(statesEach: number, keep: (data: ValueData) => void): Steering {
  return {
    name: 'plain',
    options: {},
    perSample: 1,
    needsGradient: false,
    gaussian: ({ denoiser, schedule, rows }, score) =>
      collectValueData(gaussianChain(denoiser, schedule, rows), score, statesEach, keep),
    masked: ({ denoiser, schedule, rows }, score) =>
      collectValueData(maskedChain(denoiser, schedule, rows), score, statesEach, keep),
  };
}
