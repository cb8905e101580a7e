import { useEffect, useRef, useState } from 'react';
import { nearest, type Point, range, smooth, ticks } from '#renderer/logic/chart.ts';
import { formatNumber, formatPercent } from '#renderer/logic/format.ts';

interface Props {
  readonly title: string;
  readonly help?: string;
  readonly points: readonly Point[];
  /** Share of the past in the smooth line, 0…1. */
  readonly smoothing?: number;
  /** Values are shares: a fixed axis from 0 to 100 %, with the half marked. */
  readonly share?: boolean;
  /** Steps of the whole run, so that the axis does not move while it fills. */
  readonly totalSteps?: number;
  readonly height?: number;
}

const LEFT = 44;
const BOTTOM = 20;

/** A measure over steps: raw and smooth line, with a read-out under the pointer. Axes hold still while it is over them. */
export function LineChart({ title, help, points, smoothing = 0.85, share = false, totalSteps, height = 150 }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(320);
  const [hover, setHover] = useState<number | null>(null);
  const held = useRef<[number, number] | null>(null);
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.max(160, entry.contentRect.width)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const text = share ? formatPercent : formatNumber;
  const smoothed = smooth(points, smoothing);
  // Spikes of a noisy measure would flatten everything else; the axis follows the data but the frame clips nothing.
  const [low, high] = held.current ?? (share ? [0, 1] : range(points));
  held.current = hover === null ? null : [low, high];
  const lastX = points.at(-1)?.x ?? 1;
  const maxX = Math.max(totalSteps ?? 0, lastX, 1);
  const x = (value: number) => LEFT + (value / maxX) * (width - LEFT - 6);
  const y = (value: number) => 6 + (1 - (value - low) / (high - low)) * (height - BOTTOM - 6);
  const line = (all: readonly Point[]) => {
    let pen = 'M';
    let path = '';
    for (const point of all) {
      if (!Number.isFinite(point.y)) {
        pen = 'M';
        continue;
      }
      path += `${pen}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`;
      pen = 'L';
    }
    return path;
  };
  const at = hover === null ? points.length - 1 : nearest(points, hover);
  const raw = points[at];
  const mean = smoothed[at];
  return (
    <figure className="chart" data-testid="chart">
      <figcaption className="title">
        <h3 title={help}>{title}</h3>
        <span className="read-out">
          {raw && mean ? `${text(mean.y)} at step ${raw.x}${hover === null ? '' : `, raw ${text(raw.y)}`}` : '–'}
        </span>
      </figcaption>
      <div ref={frame}>
        <svg
          height={height}
          viewBox={`0 0 ${width} ${height}`}
          role="img"
          aria-label={raw && mean ? `${title}: ${text(mean.y)} at step ${lastX}` : `${title}: no values yet`}
          onPointerMove={(event) => {
            const box = event.currentTarget.getBoundingClientRect();
            setHover(((event.clientX - box.left - LEFT) / (width - LEFT - 6)) * maxX);
          }}
          onPointerLeave={() => setHover(null)}
        >
          {(share ? [0, 0.5, 1] : ticks(low, high, 3)).map((value) => (
            <g key={value}>
              <line className="grid" x1={LEFT} x2={width - 6} y1={y(value)} y2={y(value)} />
              <text className="tick" x={LEFT - 6} y={y(value) + 4} textAnchor="end">
                {text(value)}
              </text>
            </g>
          ))}
          {ticks(0, maxX, Math.max(2, Math.floor(width / 110))).map((value) => (
            <text key={value} className="tick" x={x(value)} y={height - 4} textAnchor="middle">
              {formatNumber(value)}
            </text>
          ))}
          <path className="raw" d={line(points)} />
          <path className="smooth" d={line(smoothed)} />
          {points.length === 0 && (
            <text className="waiting" x={LEFT + 10} y={height / 2 - 6}>
              The first values appear after the first steps.
            </text>
          )}
          {hover !== null && raw && <line className="cursor" x1={x(raw.x)} x2={x(raw.x)} y1={6} y2={height - BOTTOM} />}
          {mean && Number.isFinite(mean.y) && <circle className="dot" cx={x(mean.x)} cy={y(mean.y)} r={4} />}
        </svg>
      </div>
    </figure>
  );
}
