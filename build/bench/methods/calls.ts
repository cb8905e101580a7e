import { bestOfEach } from '#pipelines/decoding/plain.ts';
import type { Decoding, DecodingAids, Steering } from '#pipelines/sampling/steering.ts';

/** What samples cost, in samples that went through each network once. */
export interface Calls {
  denoiser: number;
  reward: number;
  /** Of a value network: states that it was asked about. */
  value: number;
  /** Of the reward. */
  gradient: number;
}

/** The same steering; gradients of the reward are counted. */
export function countingGradients(steering: Steering, calls: Calls): Steering {
  const watched = (aids: DecodingAids | undefined): DecodingAids | undefined => {
    const slope = aids?.slope;
    if (slope === undefined) return aids;
    const gradient: typeof slope.gradient = (samples, rows) => {
      calls.gradient += samples.length;
      return slope.gradient(samples, rows);
    };
    return { ...aids, slope: { ...slope, gradient } };
  };
  return {
    ...steering,
    gaussian: (work, score, aids) => steering.gaussian(work, score, watched(aids)),
    masked: (work, score, aids) => steering.masked(work, score, watched(aids)),
  };
}

/** Of every `n` samples made by a steering the one with the highest reward: how a method that costs less spends as much. */
export function bestOf(steering: Steering, n: number): Steering {
  const pick = async function* (decoding: Decoding): Decoding {
    return bestOfEach(yield* decoding, n);
  };
  return {
    ...steering,
    perSample: n * steering.perSample,
    gaussian: (work, score, aids) => pick(steering.gaussian(work, score, aids)),
    masked: (work, score, aids) => pick(steering.masked(work, score, aids)),
  };
}
