import { NorthlightError, toPlainError } from '#models/errors.ts';
import type { DryStepReport } from '#pipelines/engine/contract.ts';
import type { JobFunction } from '#pipelines/engine/job-protocol.ts';
import { dryStep } from '#pipelines/sampling/dry-step.ts';
import { stopIfAsked } from './control.ts';
import { dryStepPayload } from './payloads.ts';

/** One small step through a whole model. That it does not run is what was found out, and no failure of the job. */
export const tryDryStep: JobFunction = async (payload, context): Promise<DryStepReport> => {
  const { modelPath } = dryStepPayload.parse(payload);
  try {
    const found = await dryStep(
      modelPath,
      context.threads ? { threads: context.threads } : {},
      (stage, done, total) => {
        stopIfAsked(context);
        context.progress(stage, done, total);
      },
    );
    const { loadSeconds, seconds, finite, width, height } = found;
    return { ran: true, loadSeconds, seconds, finite, width, height };
  } catch (error) {
    if (!(error instanceof NorthlightError)) throw error;
    return { ran: false, error: toPlainError(error) };
  }
};
