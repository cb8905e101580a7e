import { learnValues } from '#pipelines/decoding/learn-values.ts';
import { valueLessons } from '#pipelines/decoding/value-lessons.ts';
import { pictureValueSource, sequenceValueSource } from '#pipelines/decoding/value-source.ts';
import { valueTrainingOptions } from '#pipelines/decoding/value-training.ts';
import type { JobFunction } from '#pipelines/engine/job-protocol.ts';
import { openReward } from '#pipelines/rewards/open-reward.ts';
import { stopIfAsked } from './control.ts';
import { openPlain } from './open-plain.ts';
import { valuesPayload } from './values-payload.ts';

/**
 * Trains a value network. What it learns from is kept in its folder, so that a job that resumes collects the rest; training itself starts
 * again. Progress counts both: a sample, and as many updates as take about as long, are one.
 */
export const values: JobFunction = async (payload, context) => {
  const { of, reward: spec, folder } = valuesPayload.parse(payload);
  const { count } = of;
  const total = 2 * count;
  context.progress('opening the model', 0, total);
  const opened = await openPlain(of, context);
  const threads = context.threads ? { threads: context.threads } : {};
  const reward = (await openReward([spec], threads))!;
  try {
    const source =
      opened.makes === 'pictures'
        ? await pictureValueSource(opened.pipeline, opened.settings, opened.prompts)
        : await sequenceValueSource(opened.pipeline, opened.settings, opened.adapters);
    const { card } = await learnValues(
      folder,
      source,
      { spec, reward },
      { lessons: valueLessons.parse({ count }), training: valueTrainingOptions.parse({}), seed: 0, ...threads },
      {
        checkpoint: () => stopIfAsked(context),
        onProgress: (stage, done, of) =>
          stage === 'samples'
            ? context.progress(`sample ${Math.min(Math.floor(done) + 1, count)} of ${count} to learn from`, done, total)
            : context.progress(`learning, update ${done} of ${of}`, count * (1 + done / of), total),
      },
    );
    return { folder, samples: card.samples };
  } finally {
    await reward.close();
    await opened.close();
  }
};
