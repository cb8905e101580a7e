import { formatPercent } from '#renderer/logic/format.ts';

interface Props {
  /** All of 0…1. */
  readonly value: number;
  readonly interval: readonly [number, number];
  readonly left: string;
  readonly right: string;
}

const WIDTH = 640;
const HEIGHT = 76;
const PAD = 8;

/** A share with its interval as a dot with whiskers on a 0 to 100% line; the dashed half is "no difference". */
export function IntervalBar({ value, interval, left, right }: Props) {
  const x = (share: number) => PAD + share * (WIDTH - 2 * PAD);
  const [low, high] = interval;
  return (
    <svg
      className="interval"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={`${formatPercent(value)}, 95% interval ${formatPercent(low)} to ${formatPercent(high)}`}
    >
      <rect className="bar" x={x(0)} y={24} width={x(value) - x(0)} height={20} rx={3} />
      <line className="axis" x1={x(0)} x2={x(1)} y1={44} y2={44} />
      <line className="half" x1={x(0.5)} x2={x(0.5)} y1={14} y2={50} />
      <path className="whisker" d={`M${x(low)} 27v14M${x(low)} 34H${x(high)}M${x(high)} 27v14`} />
      <circle className="dot" cx={x(value)} cy={34} r={6} />
      <text x={x(0)} y={62}>
        always {left}
      </text>
      <text x={x(0.5)} y={62} textAnchor="middle">
        no difference
      </text>
      <text x={x(1)} y={62} textAnchor="end">
        always {right}
      </text>
    </svg>
  );
}
