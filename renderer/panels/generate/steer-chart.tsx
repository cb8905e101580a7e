import type { GuidedRecord, GuidedStep } from '#pipelines/engine/contract.ts';
import { range, ticks } from '#renderer/logic/chart.ts';
import { rewardTitle } from '#renderer/logic/fields.ts';
import { formatNumber } from '#renderer/logic/format.ts';
import { lineageOf } from '#renderer/logic/lineage.ts';

const WIDTH = 480;
const HEIGHT = 140;
const LEFT = 44;
const BOTTOM = 20;

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/**
 * What competed for a picture or sequence at each step: filled dots went on, hollow ones did not, thin lines lead to what they come
 * from, and the thick one is the way of the result. Nothing before the first reward.
 */
export function SteerChart({
  picture,
}: {
  picture: Pick<GuidedRecord, 'reward' | 'total' | 'result'> & { readonly steps: readonly GuidedStep[] };
}) {
  const { steps } = picture;
  const points = steps.flatMap(({ step, values, survivors }) =>
    values.flatMap((y, place) => (y === null ? [] : [{ x: step, y, place, wentOn: survivors.includes(place) }])),
  );
  const last = points.at(-1)?.x;
  if (last === undefined) return null;
  const [low, high] = range(points);
  const x = (step: number) => LEFT + (step / picture.total) * (WIDTH - LEFT - 8);
  const y = (value: number) => 6 + (1 - (value - low) / (high - low)) * (HEIGHT - BOTTOM - 6);
  const path = lineageOf(steps, picture.result);
  const way = steps.flatMap(({ step, values }, k) => {
    const value = values[path[k] ?? -1] ?? null;
    return value === null ? [] : [{ step, value }];
  });
  const value = mean(points.flatMap((p) => (p.x === last && p.wentOn ? [p.y] : [])));
  const title = `${rewardTitle(picture.reward)} of what competes`;
  return (
    <figure className="chart steer-chart" data-testid="steer-chart">
      <figcaption className="title">
        <h3>{title}</h3>
        <span className="read-out">{`${formatNumber(value)} at step ${last} of ${picture.total} · filled went on`}</span>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${title}: ${formatNumber(value)}`}>
        {ticks(low, high, 3).map((tick) => (
          <g key={tick}>
            <line className="grid" x1={LEFT} x2={WIDTH - 8} y1={y(tick)} y2={y(tick)} />
            <text className="tick" x={LEFT - 6} y={y(tick) + 4} textAnchor="end">
              {formatNumber(tick)}
            </text>
          </g>
        ))}
        {ticks(0, picture.total, 5).map((step) => (
          <text key={step} className="tick" x={x(step)} y={HEIGHT - 4} textAnchor="middle">
            {step}
          </text>
        ))}
        {steps.flatMap((step, k) =>
          step.parents.map((parent, place) => {
            const before = steps[k - 1];
            const from = parent === null ? null : (before?.values[parent] ?? null);
            const to = step.values[place] ?? null;
            return from === null || to === null || !before ? null : (
              <line
                // biome-ignore lint/suspicious/noArrayIndexKey: a candidate is its place
                key={`${step.step}/${place}`}
                className="parent"
                x1={x(before.step)}
                x2={x(step.step)}
                y1={y(from)}
                y2={y(to)}
              />
            );
          }),
        )}
        <path
          className="smooth"
          d={way.map((at, i) => `${i === 0 ? 'M' : 'L'}${x(at.step)} ${y(at.value)}`).join('')}
        />
        {points.map((p) => (
          <circle key={`${p.x}/${p.place}`} className={p.wentOn ? 'went-on' : 'ended'} cx={x(p.x)} cy={y(p.y)} r={3} />
        ))}
      </svg>
    </figure>
  );
}
