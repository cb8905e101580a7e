import type { BankPreview } from '#pipelines/engine/contract.ts';
import { formatNumber } from '#renderer/logic/format.ts';

const WIDTH = 300;
const HEIGHT = 96;
const BOTTOM = 18;

/** Shares of plain samples by reward as grey bars, and of the same samples weighted as steering would, as a line over them. */
export function BankHistogram({ preview, tilted }: { preview: BankPreview; tilted: boolean }) {
  const { from, to, ...shares } = preview.histogram;
  const most = Math.max(...shares.plain, ...(tilted ? shares.tilted : []));
  const bin = WIDTH / shares.plain.length;
  const y = (share: number) => 4 + (1 - share / most) * (HEIGHT - BOTTOM - 4);
  const steps = shares.tilted.map((share, i) => `L${i * bin} ${y(share)}L${(i + 1) * bin} ${y(share)}`).join('');
  const label = tilted
    ? `Rewards of ${preview.samples} plain samples, and as steering would weight them`
    : `Rewards of ${preview.samples} plain samples`;
  return (
    <svg className="bank-histogram" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
      {shares.plain.map((share, i) => (
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
      {tilted && <path className="tilted" d={`M0 ${y(0)}${steps}L${WIDTH} ${y(0)}`} />}
      <text className="tick" x={0} y={HEIGHT - 4}>
        {formatNumber(from)}
      </text>
      <text className="tick" x={WIDTH} y={HEIGHT - 4} textAnchor="end">
        {formatNumber(to)}
      </text>
    </svg>
  );
}
