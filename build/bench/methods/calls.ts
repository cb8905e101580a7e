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

/** The same steering; gradients, and where a value network judges candidates those too, are counted. */
export function counted(steering: Steering, calls: Calls, judgedByNetwork: boolean): Steering {
  const watch = async function* (decoding: Decoding): Decoding {
    for (;;) {
      const next = await decoding.next();
      if (next.done) return next.value;
      const { step, total, values } = next.value;
      // Equal candidates are asked about once; the last step's are finished samples, which the reward scores.
      if (judgedByNetwork && step < total) calls.value += values.reduce((n, own) => n + new Set(own).size, 0);
      yield next.value;
    }
  };
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
    gaussian: (work, score, aids) => watch(steering.gaussian(work, score, watched(aids))),
    masked: (work, score, aids) => watch(steering.masked(work, score, watched(aids))),
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
