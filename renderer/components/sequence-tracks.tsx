import type { SequenceTracks as Tracks } from '#pipelines/engine/contract.ts';
import { formatNumber, formatPercent, plural } from '#renderer/logic/format.ts';
import { lanesOf } from '#renderer/logic/lanes.ts';
import { letterLayers, type Molecule } from '#renderer/logic/letters.ts';
import { ScrollSideways } from './scroll-sideways.tsx';

interface Props {
  readonly letters: string;
  readonly molecule: Molecule;
  /** Null: not known yet. */
  readonly tracks: Tracks | null;
}

const COLUMN = 9;
const LANE = 18;
const GC_HEIGHT = 34;
const TOP = 16;

interface Mark {
  readonly start: number;
  readonly end: number;
  readonly label: string;
  readonly title: string;
  readonly kind: 'motif' | 'enzyme';
}

/** Letters with what lies along them: binding sites with their strand, restriction sites, and the share of G and C. */
export function SequenceTracks({ letters, molecule, tracks }: Props) {
  const marks: Mark[] = [
    ...(tracks?.motifs.flatMap(({ name, consensus, best, hits }) =>
      hits.map(({ start, end, strand, bits }) => ({
        ...{ start, end, kind: 'motif' as const },
        label: strand === '+' ? `${name} ▸` : `◂ ${name}`,
        title: `${name} (${consensus}), ${strand} strand, ${start + 1}–${end}: ${formatNumber(bits)} of ${formatNumber(best)} bits`,
      })),
    ) ?? []),
    ...(tracks?.enzymes.flatMap(({ name, site, hits }) =>
      hits.map(({ start, end, strand }) => ({
        ...{ start, end, kind: 'enzyme' as const },
        label: `✂ ${name}`,
        title: `${name} cuts ${site}, ${strand} strand, ${start + 1}–${end}`,
      })),
    ) ?? []),
  ];
  // A label may be wider than what it names.
  const spans = marks.map((m) => ({
    start: m.start,
    end: Math.max(m.end, m.start + Math.ceil((m.label.length * 7) / COLUMN)),
  }));
  const lanes = lanesOf(spans, 1);
  const gcTop = TOP + 20 + (lanes.length === 0 ? 0 : Math.max(...lanes) + 1) * LANE + 8;
  const gc = tracks?.gc.values ?? [];
  const width = Math.max(letters.length * COLUMN, ...spans.map((s) => s.end * COLUMN)) + 8;
  const height = gc.length > 0 ? gcTop + GC_HEIGHT + 4 : TOP + 24;
  const gcY = (share: number) => gcTop + (1 - share) * GC_HEIGHT;
  const motifs = marks.filter((m) => m.kind === 'motif').length;
  const says = `${plural(letters.length, 'letter')}, ${plural(motifs, 'motif hit')}, ${plural(marks.length - motifs, 'restriction site')}`;
  return (
    <ScrollSideways label="Sequence with its motifs" testId="sequence-tracks">
      <svg width={width} height={height} role="img" aria-label={`${says}. ${marks.map((m) => m.title).join('. ')}`}>
        {Array.from({ length: Math.floor(letters.length / 10) }, (_, k) => (k + 1) * 10).map((at) => (
          <text key={at} className="tick" x={(at - 0.5) * COLUMN} y={11} textAnchor="middle">
            {at}
          </text>
        ))}
        {letterLayers(letters, molecule).map(({ colour, text }) => {
          const places = [...text].flatMap((letter, i) => (letter === ' ' ? [] : [i]));
          return (
            <text
              key={colour}
              className={`track-letter letter-${colour}`}
              textAnchor="middle"
              x={places.map((i) => (i + 0.5) * COLUMN).join(' ')}
              y={TOP + 14}
            >
              {text.replaceAll(' ', '')}
            </text>
          );
        })}
        {marks.map((mark, i) => {
          const y = TOP + 22 + lanes[i]! * LANE;
          return (
            <g key={`${mark.label}${mark.start}`} className={`mark ${mark.kind}`}>
              <title>{mark.title}</title>
              <rect x={mark.start * COLUMN} y={y} width={(mark.end - mark.start) * COLUMN} height={LANE - 4} rx={3} />
              <text x={mark.start * COLUMN + 3} y={y + 11}>
                {mark.label}
              </text>
            </g>
          );
        })}
        {gc.length > 0 && (
          <g className="gc">
            <title>{`Share of G and C over ${tracks?.gc.window} letters`}</title>
            <line className="logo-grid" x1={0} x2={letters.length * COLUMN} y1={gcY(0.5)} y2={gcY(0.5)} />
            <path
              className="gc-line"
              d={gc.map((share, i) => `${i === 0 ? 'M' : 'L'}${(i + 0.5) * COLUMN} ${gcY(share).toFixed(1)}`).join('')}
            />
            <text className="tick" x={2} y={gcTop + GC_HEIGHT - 2}>
              {`GC ${formatPercent(gc.reduce((a, b) => a + b, 0) / gc.length)}`}
            </text>
          </g>
        )}
      </svg>
    </ScrollSideways>
  );
}
