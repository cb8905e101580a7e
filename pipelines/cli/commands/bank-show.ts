import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { defineCommand } from '#pipelines/cli/command.ts';
import { summarise } from '#pipelines/cli/reward-summary.ts';

interface Shown {
  readonly key: string;
  readonly directory: string;
  readonly kind: 'image' | 'sequence';
  readonly model: string;
  readonly prompts: readonly string[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly samples: number;
  /** Mean seconds of a sample when it was made. */
  readonly secondsPerSample: number;
  readonly rewards: Readonly<Record<string, ReturnType<typeof summarise> & { readonly scored: number }>>;
}

export const bankShow = defineCommand({
  name: 'bank show',
  summary: 'the banks of plain samples of a project, and what rewards say of them',
  options: z.object({
    key: z.string().default('').describe('the beginning of the name of one of them; default: all'),
  }),
  positionals: ['key'],
  async run({ key, project }): Promise<{ banks: Shown[] }> {
    if (project === undefined) {
      throw new NorthlightError('usage', '--project is missing.', 'Name the project folder.');
    }
    const { resolve } = await import('node:path');
    const { bankKeys, findBank } = await import('#pipelines/bank/bank.ts');
    const { allColumns } = await import('#pipelines/bank/columns.ts');
    const folder = resolve(project);
    const keys = key === '' ? bankKeys(folder) : [key];
    const banks = keys.map((name) => {
      const bank = findBank(folder, name);
      const { kind, model, prompts, settings } = bank.identity;
      const columns = allColumns(bank).filter(({ values }) => values.length > 0);
      const seconds = bank.items.reduce((sum, item) => sum + item.seconds, 0);
      return {
        key: bank.key,
        directory: bank.directory,
        ...{ kind, model, prompts, settings },
        samples: bank.items.length,
        secondsPerSample: bank.items.length === 0 ? 0 : seconds / bank.items.length,
        rewards: Object.fromEntries(
          columns.map(({ reward, values }) => [reward, { ...summarise(values), scored: values.length }]),
        ),
      };
    });
    return { banks };
  },
  show: ({ banks }) =>
    banks.length === 0
      ? 'There is no bank in this project. northlight bank make keeps plain samples to look at rewards with.'
      : banks
          .flatMap(({ key, samples, prompts, settings, model, rewards, secondsPerSample }) => [
            `${key.slice(0, 8)}  ${samples} samples of ${prompts.length === 1 ? (prompts[0] ?? '') : `${prompts.length} prompts`} · ${settings.scheduler}, ${settings.steps} steps · model ${model.slice(0, 8)} · ${secondsPerSample.toPrecision(2)} s each`,
            ...Object.entries(rewards).map(
              ([spec, { mean, std, scored }]) =>
                `          ${spec}: ${mean.toPrecision(4)} ± ${std.toPrecision(3)} over ${scored}`,
            ),
          ])
          .join('\n'),
});
