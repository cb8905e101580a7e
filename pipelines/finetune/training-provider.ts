import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { writeJsonAtomic } from '#models/files.ts';
import { type ChooseOptions, chooseProvider, type ProviderChoice } from '#models/runtime/choose-provider.ts';
import type { TrialGraph } from '#models/runtime/graph-trial.ts';
import type { Provider } from '#models/runtime/session.ts';

const providerName = z.enum(['cpu', 'webgpu', 'cuda', 'dml', 'coreml']);

/** What a run's training graph runs on, and why: `provider.json` in its directory. */
const runProvider = z.object({
  provider: providerName,
  seconds: z.number().nullable(),
  agreement: z.number().nullable(),
  because: z.string(),
  others: z.array(z.object({ provider: providerName, why: z.string() })),
});
export type RunProvider = z.infer<typeof runProvider>;

const fileOf = (runDirectory: string) => join(runDirectory, 'provider.json');

/** What a run was started on, or null when that was not recorded. */
export function readRunProvider(runDirectory: string): RunProvider | null {
  const file = fileOf(runDirectory);
  if (!existsSync(file)) return null;
  return runProvider.parse(JSON.parse(readFileSync(file, 'utf8')));
}

/**
 * The provider of a run's training graph: chosen by `chooseProvider` when the run starts, the same again when it goes on,
 * because another one would round differently and the run would no longer be the same. Absent and `cpu` choose nothing.
 * @param probe the graph with the feeds of one update; called only when there is something to choose.
 * @throws {NorthlightError} `provider/refused`; `run/other-provider` when a run is resumed with another provider by name.
 */
export async function trainingProvider(
  task: {
    readonly runDirectory: string;
    readonly provider?: Provider | 'auto' | undefined;
    progress(stage: string, done: number, total: number): void;
  },
  probe: () => Promise<TrialGraph>,
  options: ChooseOptions = {},
): Promise<Provider> {
  const wanted = task.provider ?? 'cpu';
  const before = readRunProvider(task.runDirectory);
  if (before) {
    if (wanted !== 'auto' && wanted !== before.provider) {
      throw new NorthlightError(
        'run/other-provider',
        `This run was started on ${before.provider} and cannot go on on ${wanted}: its numbers would differ.`,
        `Resume it with --provider ${before.provider}, or start a new run.`,
      );
    }
    return before.provider;
  }
  if (wanted === 'cpu') return 'cpu';
  task.progress('trying what can run the training graph', 0, 0);
  const choice = await chooseProvider(wanted, await probe(), options);
  writeJsonAtomic(fileOf(task.runDirectory), summary(choice));
  return choice.provider;
}

const summary = ({ provider, seconds, agreement, because, others }: ProviderChoice): RunProvider => ({
  provider,
  seconds,
  agreement,
  because,
  others: [...others],
});
