import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { MethodBudget } from '#pipelines/bank/methods.ts';
import type { Preview } from '#pipelines/bank/preview.ts';
import { defineCommand } from '#pipelines/cli/command.ts';
import { rewardOptions } from '#pipelines/cli/make-options.ts';

interface Tilted extends Preview {
  readonly key: string;
  /** What each method may count for so many times the denoiser calls. */
  readonly methods: readonly { readonly times: number; readonly within: readonly MethodBudget[] }[];
}

export const bankTilt = defineCommand({
  name: 'bank tilt',
  summary: 'what steering with a temperature, or with extra work, is expected to give',
  details:
    'Reads the plain samples of a bank and weights them by exp(r/α): makes none. Rewards that are new to it score them first.',
  options: z.object({
    key: z.string().min(1).describe('the beginning of the name of a bank, as bank show lists them'),
    ...rewardOptions,
    alpha: z.number().positive().optional().describe('temperature; default: fits the spread of the reward'),
    kl: z.number().positive().optional().describe('in place of --alpha: so many nats from plain samples'),
    ess: z.number().positive().optional().describe('in place of --alpha: as if so many of the samples were left'),
  }),
  positionals: ['key'],
  async run(options, io): Promise<Tilted> {
    const { runBankTilt } = await import('#pipelines/cli/run-bank-tilt.ts');
    const given = [options.alpha, options.kl, options.ess].filter((v) => v !== undefined);
    if (options.project === undefined || options.reward.length === 0 || given.length > 1) {
      throw new NorthlightError(
        'usage',
        given.length > 1
          ? '--alpha, --kl and --ess say the same in three ways.'
          : `--${options.project === undefined ? 'project' : 'reward'} is missing.`,
        given.length > 1 ? 'Give one of them.' : 'Add it; --help lists what is needed.',
      );
    }
    return await runBankTilt({ ...options, project: options.project }, io);
  },
  show: ({ samples, plain, tilted, alpha, suggestedAlpha, gain, ess, kl, reliable, ladder, methods }) => {
    const n = (v: number) => v.toPrecision(4);
    const doubt = (sure: boolean) => (sure ? '' : ' (unreliable: few samples carry it)');
    return [
      `${samples} plain samples: ${n(plain.mean)} ± ${n(plain.std)} (10 % below ${n(plain.q10)}, half below ${n(plain.q50)}, 90 % below ${n(plain.q90)})`,
      `α = ${n(alpha)}: ${n(tilted.mean)} ± ${n(tilted.std)}, ${gain < 0 ? '' : '+'}${n(gain)} · ESS ${ess.toFixed(1)} · ${kl.toFixed(3)} nats${doubt(reliable)}`,
      suggestedAlpha === null
        ? 'The reward does not tell plain samples apart.'
        : `The α that fits the spread is ${n(suggestedAlpha)}.`,
      'extra work: expected reward of best-of-N (exact on these samples), and the most at its distance (an estimate for other methods)',
      ...ladder.map(({ times, bestOf, atSameDistance }) => {
        const best = bestOf ? `${n(bestOf.mean)}${doubt(bestOf.reliable)}` : 'too few samples';
        const most = atSameDistance ? `${n(atSameDistance.mean)}${doubt(atSameDistance.reliable)}` : 'not to be seen';
        return `×${times}: ${best}; ${most}`;
      }),
      ...methods.map(
        ({ times, within }) =>
          `×${times} is ${within.map(({ method, countKey, count }) => `${method} with ${count} ${countKey}`).join(', ')}`,
      ),
    ].join('\n');
  },
});
