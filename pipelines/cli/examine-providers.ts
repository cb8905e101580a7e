import { NorthlightError } from '#models/errors.ts';
import { examineModel } from '#models/families/index.ts';
import type { ProviderTrial } from '#models/runtime/choose-provider.ts';
import { measureModel } from '#pipelines/sampling/model-trials.ts';
import type { Io } from './command.ts';
import type { Check } from './examine.ts';
import { formatBytes } from './model-report.ts';

/**
 * Measures one step of a model on every provider of this system, anew, and keeps what was found.
 * @throws {NorthlightError} `model/…` when the model cannot run at all.
 */
export async function examineProviders(
  directory: string,
  threads: number | undefined,
  io: Pick<Io, 'progress'>,
): Promise<{ checks: Check[]; trials: ProviderTrial[] }> {
  const report = examineModel(directory);
  const [stop] = report.findings.filter((f) => f.weight === 'stops');
  if (stop) throw new NorthlightError(stop.code, stop.message, stop.hint);
  io.progress('measuring one step on every provider', 0, 0);
  const trials = await measureModel(directory, { fresh: true, threads });
  return { checks: trials.map(checkOf), trials };
}

function checkOf(trial: ProviderTrial): Check {
  const { provider, trusted, seconds, startSeconds, peakBytes, agreement, leftToCpu, reason } = trial;
  const name = `Provider ${provider}`;
  const facts = [
    ...(startSeconds === null ? [] : [`starts in ${startSeconds.toPrecision(2)} s`]),
    ...(seconds === null ? [] : [`${seconds.toPrecision(3)} s a step`]),
    ...(peakBytes === null ? [] : [`${formatBytes(peakBytes)} of memory`]),
    ...(agreement === null || provider === 'cpu' ? [] : [`within ${agreement.toExponential(0)} of the CPU`]),
    ...(leftToCpu.length === 0
      ? []
      : [`leaves ${leftToCpu.map((l) => `${l.opType} (${l.count})`).join(', ')} to the CPU`]),
  ];
  if (trusted) return { name, state: 'ok', text: facts.join(', ') };
  const why = `not used: ${reason.split('\n')[0]}`;
  return { name, state: provider === 'cpu' ? 'bad' : 'note', text: [why, ...facts].join(' ') };
}
