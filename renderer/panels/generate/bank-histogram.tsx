import { formatNumber } from '#renderer/logic/format.ts';

const WIDTH = 300;
const HEIGHT = 96;
const BOTTOM = 18;

interface Props {
  readonly label: string;
  readonly from: number;
  readonly to: number;
  /** Shares of plain samples in equal bins. */
  readonly plain: readonly number[];
  /** Of what is compared with them; null: nothing. */
  readonly outline: readonly number[] | null;
}

/** Shares of plain samples by reward as grey bars, and of others as a line over them. */
export function BankHistogram({ label, from, to, plain, outline }: Props) {
  const most = Math.max(...plain, ...(outline ?? []));
  const bin = WIDTH / plain.length;
  const y = (share: number) => 4 + (1 - share / most) * (HEIGHT - BOTTOM - 4);
  const steps = outline?.map((share, i) => `L${i * bin} ${y(share)}L${(i + 1) * bin} ${y(share)}`).join('');
  return (
    <svg className="bank-histogram" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
      {plain.map((share, i) => (
        <rect
          // biome-ignore lint/suspicious/noArrayIndexKey: a bin is its place
          key={i}
          className="plain"
          x={i * bin + 0.5}
          y={y(share)}
          width={bin - 1}
          height={HEIGHT - BOTTOM - y(share)}
        />
      ))}
      {steps && <path className="tilted" d={`M0 ${y(0)}${steps}L${WIDTH} ${y(0)}`} />}
      <text className="tick" x={0} y={HEIGHT - 4}>
        {formatNumber(from)}
      </text>
      <text className="tick" x={WIDTH} y={HEIGHT - 4} textAnchor="end">
        {formatNumber(to)}
      </text>
    </svg>
  );
}
