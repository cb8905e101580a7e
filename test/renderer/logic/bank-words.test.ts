import { expect, test } from 'vitest';
import type { BankPreview, BankView } from '#pipelines/engine/contract.ts';
import { distanceWords, expectedGain, gainWords, makingWords } from '#renderer/logic/bank-words.ts';

const view: BankView = {
  ...{
    key: '',
    samples: 64,
    scored: 64,
    calibration: 0,
    sizes: [64, 256],
    callsPerSample: 30,
    jobId: null,
    preview: null,
  },
  secondsPerSample: 0.5,
};
const spread = { std: 1, q10: 0, q50: 0, q90: 0 };
const preview: BankPreview = {
  samples: 64,
  plain: { ...spread, mean: 0.201 },
  tilted: { ...spread, mean: 0.2195 },
  ...{ alpha: 0.01, suggestedAlpha: 0.01, gain: 0.0186, ess: 27.6, kl: 0.812, reliable: true },
  histogram: { from: 0, to: 1, plain: [1], tilted: [1] },
  ladder: [],
};

test('what making more comes to is told in runs, and in time once one was made', () => {
  expect(makingWords({ ...view, samples: 0, secondsPerSample: null }, 64)).toBe('1.9 k runs of the network');
  expect(makingWords(view, 256)).toMatch(/runs of the network, about /);
});

test('a gain has its sign, and the distance is told as samples that are left', () => {
  expect(gainWords(preview)).toBe('0.201 → 0.22 on average (+0.019)');
  expect(distanceWords(preview)).toBe('as if 28 of 64 were left · 0.81 nats from plain');
  expect(expectedGain(0.213, 0.201)).toBe('+0.012');
  expect(expectedGain(-2.5, -2)).toBe('−0.5');
});
