import { range, ticks } from '#renderer/logic/chart.ts';
import { fieldLabel } from '#renderer/logic/fields.ts';
import { formatNumber } from '#renderer/logic/format.ts';
import type { SteeredPicture } from './steer-store.ts';

const WIDTH = 480;
const HEIGHT = 140;
const LEFT = 44;
const BOTTOM = 20;

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** What competed for a picture at each step: filled dots went on, hollow ones did not. Nothing before the first comparison. */
export function SteerChart({ picture }: { picture: SteeredPicture }) {
  const steps = picture.steps.filter((step) => step.values.length > 0);
  if (steps.length === 0) return null;
  const [low, high] = range(steps.flatMap(({ step, values }) => values.map((y) => ({ x: step, y }))));
  const x = (step: number) => LEFT + (step / picture.total) * (WIDTH - LEFT - 8);
  const y = (value: number) => 6 + (1 - (value - low) / (high - low)) * (HEIGHT - BOTTOM - 6);
  const means = steps.map(({ step, values, survivors }) => ({
    step,
    value: mean(survivors.map((place) => values[place]!)),
  }));
  const last = means.at(-1)!;
  const title = `${fieldLabel(picture.reward)} of what competes`;
  return (
    <figure className="chart steer-chart" data-testid="steer-chart">
      <figcaption className="title">
        <h3>{title}</h3>
        <span className="read-out">{`${formatNumber(last.value)} at step ${last.step} of ${picture.total} · filled went on`}</span>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${title}: ${formatNumber(last.value)}`}>
        {ticks(low, high, 3).map((value) => (
          <g key={value}>
            <line className="grid" x1={LEFT} x2={WIDTH - 8} y1={y(value)} y2={y(value)} />
            <text className="tick" x={LEFT - 6} y={y(value) + 4} textAnchor="end">
              {formatNumber(value)}
            </text>
          </g>
        ))}
        {ticks(0, picture.total, 5).map((step) => (
          <text key={step} className="tick" x={x(step)} y={HEIGHT - 4} textAnchor="middle">
            {step}
          </text>
        ))}
        <path
          className="smooth"
          d={means.map(({ step, value }, i) => `${i === 0 ? 'M' : 'L'}${x(step)} ${y(value)}`).join('')}
        />
        {steps.flatMap(({ step, values, survivors }) =>
          values.map((value, place) => (
            <circle
              // biome-ignore lint/suspicious/noArrayIndexKey: a candidate is its place
              key={`${step}/${place}`}
              className={survivors.includes(place) ? 'went-on' : 'ended'}
              cx={x(step)}
              cy={y(value)}
              r={3}
            />
          )),
        )}
      </svg>
    </figure>
  );
}
