import { memo, useMemo } from 'react';
import { formatNumber, plural } from '#renderer/logic/format.ts';
import { letterColour, type Molecule } from '#renderer/logic/letters.ts';
import { logoOf } from '#renderer/logic/sequence-logo.ts';
import { ScrollSideways } from './scroll-sideways.tsx';

interface Props {
  readonly sequences: readonly string[];
  readonly alphabet: string;
  readonly molecule: Molecule;
  /** What they are of: "all", "selected". */
  readonly of: string;
}

const COLUMN = 9;
const HEIGHT = 96;
const LEFT = 34;
const RULER = 16;
/** Of the letters in the drawing font at size 10: their width, and the height of a capital. */
const GLYPH = { width: 6.02, height: 7.2 };

/** A sequence logo: how much each position says, and which letters say it. */
export const SequenceLogo = memo(function SequenceLogo({ sequences, alphabet, molecule, of }: Props) {
  const columns = useMemo(() => logoOf(sequences, alphabet), [sequences, alphabet]);
  const most = Math.log2(alphabet.length);
  const width = LEFT + columns.length * COLUMN + 4;
  const strongest = columns.reduce((best, c, i) => (c.bits > (columns[best]?.bits ?? 0) ? i : best), 0);
  const total = columns.reduce((sum, c) => sum + c.bits, 0);
  const says = `${formatNumber(total)} bits over ${columns.length} positions; most at ${strongest + 1}: ${
    columns[strongest]?.stack.at(-1)?.letter ?? ''
  }, ${formatNumber(columns[strongest]?.bits ?? 0)} bits`;
  const y = (bits: number) => 4 + (1 - bits / most) * HEIGHT;
  return (
    <figure className="logo" data-testid="sequence-logo">
      <figcaption className="row apart">
        <h3>{`Logo of ${of} ${plural(sequences.length, 'sequence')}`}</h3>
        <span className="small quiet number">{says}</span>
      </figcaption>
      <ScrollSideways label="Sequence logo">
        <svg width={width} height={HEIGHT + RULER + 8} role="img" aria-label={says}>
          {[0, most / 2, most].map((bits) => (
            <g key={bits}>
              <line className="logo-grid" x1={LEFT} x2={width} y1={y(bits)} y2={y(bits)} />
              <text className="tick" x={LEFT - 6} y={y(bits) + 4} textAnchor="end">
                {formatNumber(bits)}
              </text>
            </g>
          ))}
          {columns.map((column, i) => {
            let bottom = 0;
            return column.stack.map(({ letter, height }) => {
              const from = bottom;
              bottom += height;
              const tall = (height / most) * HEIGHT;
              if (tall < 0.6) return null;
              return (
                <text
                  // biome-ignore lint/suspicious/noArrayIndexKey: a column is its place
                  key={`${i}${letter}`}
                  className={`logo-letter letter-${letterColour(letter, molecule)}`}
                  transform={`translate(${LEFT + i * COLUMN} ${y(from)}) scale(${COLUMN / GLYPH.width} ${tall / GLYPH.height})`}
                >
                  {letter}
                </text>
              );
            });
          })}
          {columns.map((_, i) =>
            (i + 1) % 10 === 0 ? (
              // biome-ignore lint/suspicious/noArrayIndexKey: a column is its place
              <text key={i} className="tick" x={LEFT + (i + 0.5) * COLUMN} y={HEIGHT + RULER + 4} textAnchor="middle">
                {i + 1}
              </text>
            ) : null,
          )}
        </svg>
      </ScrollSideways>
    </figure>
  );
});
