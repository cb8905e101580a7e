import type { BankPreview, BankView } from '#pipelines/engine/contract.ts';
import { formatCount, formatDuration, formatMean, formatNumber } from './format.ts';

/** What making so many samples more comes to. */
export function makingWords(view: BankView, count: number): string {
  const missing = count - view.samples;
  const runs = `${formatCount(missing * view.callsPerSample)} runs of the network`;
  if (view.secondsPerSample === null) return runs;
  return `${runs}, about ${formatDuration(missing * view.secondsPerSample)}`;
}

/** What comes before the first sample where rewards have to be put on one scale. */
export function scaleWords(view: BankView, makes: string): string {
  const { calibration, samples } = view;
  const missing = samples === 0 ? `${calibration} plain ${makes}` : `${calibration - samples} more plain ${makes}`;
  return (
    `What counts as much is found by looking: making begins with ${missing} that put the rewards on one scale, once ` +
    `(${makingWords(view, calibration)}). Made now, they also show what to expect.`
  );
}

const signed = (value: number) => (value > 0 ? `+${formatNumber(value)}` : formatNumber(value));

/** What following the reward with this α would do to its mean. */
export function gainWords({ plain, tilted, gain }: BankPreview): string {
  return `${formatMean(plain.mean, plain.std)} → ${formatMean(tilted.mean, plain.std)} on average (${signed(Number(gain.toPrecision(2)))})`;
}

/** How far that is from what the model makes by itself, in words. */
export function distanceWords({ ess, samples, kl }: BankPreview): string {
  return `as if ${formatNumber(Number(ess.toPrecision(2)))} of ${samples} were left · ${formatNumber(Number(kl.toPrecision(2)))} nats from plain`;
}

/** How much more an expected mean is than plain samples have. */
export const expectedGain = (mean: number, plain: number): string => signed(Number((mean - plain).toPrecision(2)));
