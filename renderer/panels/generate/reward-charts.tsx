import { useEffect, useState } from 'react';
import type { PlainValues } from '#pipelines/engine/contract.ts';
import { rewardTitle } from '#renderer/logic/fields.ts';
import { formatMean } from '#renderer/logic/format.ts';
import { meanOf, spreadOf } from '#renderer/logic/reward-spread.ts';
import { engine } from '#renderer/state/engine.ts';
import { BankHistogram } from './bank-histogram.tsx';

interface Props {
  readonly jobId: string;
  /** Names of rewards, as the scores have them. */
  readonly rewards: readonly string[];
  readonly scored: readonly { readonly scores: Readonly<Record<string, number>> }[];
}

/** What each reward says of a batch, beside the plain samples that put it on one scale with the others. */
export function RewardCharts({ jobId, rewards, scored }: Props) {
  const [plain, setPlain] = useState<readonly PlainValues[]>([]);
  const known = scored.length > 0;
  useEffect(() => {
    let left = false;
    setPlain([]);
    if (!known) return;
    engine
      .call('generate.plain', { jobId })
      .then((found) => left || setPlain(found))
      // Something to compare with is a courtesy.
      .catch(() => {});
    return () => {
      left = true;
    };
  }, [jobId, known]);
  if (rewards.length < 2) return null;
  return (
    <section className="reward-charts" aria-label="What the rewards say" data-testid="reward-charts">
      {rewards.map((reward) => {
        const values = scored.flatMap(({ scores }) => scores[reward] ?? []);
        const before = plain.find((p) => p.reward === reward)?.values ?? [];
        const spread = spreadOf(values, before);
        if (!spread) return null;
        const mean = (of: readonly number[]) => formatMean(meanOf(of), spread.to - spread.from);
        const now = mean(values);
        const words = before.length > 0 ? `${now} on average, plain ${mean(before)}` : `${now} on average`;
        return (
          <figure key={reward} className="chart" data-testid="reward-chart">
            <figcaption className="title">
              <h3 className="cut" title={reward}>
                {rewardTitle(reward)}
              </h3>
              <span className="read-out">{words}</span>
            </figcaption>
            <BankHistogram
              label={`${rewardTitle(reward)}: ${words}`}
              from={spread.from}
              to={spread.to}
              plain={spread.plain}
              outline={spread.own}
            />
          </figure>
        );
      })}
    </section>
  );
}
