import type { Sample } from '#pipelines/engine/contract.ts';
import { rewardName } from '#renderer/logic/fields.ts';
import { formatNumber, formatWhen } from '#renderer/logic/format.ts';
import { useApp } from '#renderer/state/app.ts';
import { Picture } from './picture.tsx';

/** Everything that made a picture, and what rewards said of it. */
export function SampleFacts({ sample }: { sample: Sample }) {
  const { models, adapters } = useApp();
  const facts: [string, string | number][] = [
    ['Model', models?.find((m) => m.id === sample.modelId)?.name ?? sample.modelId],
    [
      'Adapter',
      sample.adapterId === null ? 'none' : (adapters?.find((a) => a.id === sample.adapterId)?.name ?? sample.adapterId),
    ],
    ...(sample.negativePrompt ? [['Avoid', sample.negativePrompt] as [string, string]] : []),
    ['Seed', `${sample.seed}, picture ${sample.index}`],
    ['Steps', sample.steps],
    ['Guidance', sample.guidanceScale],
    ['Scheduler', `${sample.scheduler}, eta ${sample.eta}`],
    ...(sample.clipSkip > 1 ? [['Clip skip', sample.clipSkip] as [string, number]] : []),
    ['Size', `${sample.width} × ${sample.height}`],
    ...(sample.start ? [['Started from', startWords(sample.start)] as [string, string]] : []),
    ['For tuning', sample.hasTrajectory ? 'steps are kept' : 'steps were not kept'],
    ['Made', formatWhen(sample.createdAt)],
    ...Object.entries(sample.scores).map(([reward, value]): [string, string] => [
      rewardName(reward),
      formatNumber(value),
    ]),
  ];
  return (
    <>
      <dl className="facts">
        {facts.map(([name, value]) => (
          <div key={name} className="fact">
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {sample.start && (
        <div className="row" data-testid="started-from">
          <span className="start-thumbnail">
            <Picture key={sample.start.picture} hash={sample.start.picture} alt="The picture it started from" />
          </span>
          {sample.start.mask && (
            <span className="start-thumbnail">
              <Picture key={sample.start.mask} hash={sample.start.mask} alt="Its mask, white where it could change" />
            </span>
          )}
        </div>
      )}
      <p className="mono quiet" title="SHA-256 of the picture file">
        {sample.hash}
      </p>
    </>
  );
}

const startWords = ({ strength, mask }: NonNullable<Sample['start']>) =>
  `a picture, strength ${strength}${mask ? ', only where its mask is white' : ''}`;
