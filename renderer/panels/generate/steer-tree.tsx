import { useMemo, useState } from 'react';
import type { GuidedRecord } from '#pipelines/engine/contract.ts';
import { SequenceLetters } from '#renderer/components/sequence-letters.tsx';
import { formatNumber, plural } from '#renderer/logic/format.ts';
import type { Molecule } from '#renderer/logic/letters.ts';
import { treeRows } from '#renderer/logic/tree-layout.ts';
import { SheetPicture } from './sheet-picture.tsx';

interface Props {
  readonly tree: NonNullable<GuidedRecord['tree']>;
  readonly total: number;
  readonly molecule: Molecule;
}

const WIDTH = 480;
const ROW = 12;
const EDGE = 10;

/** The tree of a search: steps to the right, one line per finished sample, the way to the best one thick. */
export function SteerTree({ tree: { places, sheet, left }, total, molecule }: Props) {
  const { rows, height } = useMemo(() => treeRows(places.map(({ parent }) => parent)), [places]);
  const last = Math.max(total, ...places.map(({ step }) => step));
  const best = places.reduce<number | null>(
    (b, { step, prior }, i) => (step === last && (b === null || prior > places[b]!.prior) ? i : b),
    null,
  );
  const way = new Set<number>();
  for (let i = best; i !== null; i = places[i]!.parent) way.add(i);
  const [chosen, setChosen] = useState<number | null>(null);
  const at = chosen ?? best ?? 0;
  const shown = places[at];
  const x = (step: number) => EDGE + (step / Math.max(1, last)) * (WIDTH - 2 * EDGE);
  const y = (i: number) => EDGE + rows[i]! * ROW;
  const move = (key: string) => {
    const own = places.flatMap(({ parent }, i) => (parent === at ? [i] : []));
    const siblings = places.flatMap(({ parent }, i) => (parent === shown?.parent ? [i] : []));
    const place = siblings.indexOf(at);
    const to =
      key === 'ArrowLeft'
        ? shown?.parent
        : key === 'ArrowRight'
          ? own[0]
          : siblings[place + (key === 'ArrowDown' ? 1 : -1)];
    if (to !== undefined && to !== null) setChosen(to);
  };
  return (
    <figure className="chart steer-tree" data-testid="steer-tree">
      <figcaption className="title">
        <h3>Tree of the search</h3>
        <span className="read-out">
          {`${plural(places.length, 'place')}${left > 0 ? `, ${left} more not kept` : ''} · ${plural(
            places.filter(({ step }) => step === last).length,
            'finished sample',
          )}`}
        </span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${2 * EDGE + Math.max(1, height - 1) * ROW}`}
        aria-label="Tree of the search; arrow keys walk it"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is walked by keyboard.
        tabIndex={0}
        onKeyDown={(event) => {
          if (!event.key.startsWith('Arrow')) return;
          event.preventDefault();
          event.stopPropagation();
          move(event.key);
        }}
      >
        {places.map(({ parent, step }, i) =>
          parent === null ? null : (
            <line
              // biome-ignore lint/suspicious/noArrayIndexKey: a place is its number
              key={i}
              className={way.has(i) ? 'way' : 'parent'}
              x1={x(places[parent]!.step)}
              x2={x(step)}
              y1={y(parent)}
              y2={y(i)}
            />
          ),
        )}
        {places.map(({ step, value, visits }, i) => (
          // biome-ignore lint/a11y/noStaticElementInteractions: the keys are the tree's.
          <circle
            // biome-ignore lint/suspicious/noArrayIndexKey: a place is its number
            key={i}
            className={i === at ? 'went-on at' : way.has(i) ? 'went-on' : 'ended'}
            cx={x(step)}
            cy={y(i)}
            r={i === at ? 5 : 3.5}
            onClick={() => setChosen(i)}
          >
            <title>{`Step ${step}: ${formatNumber(value)}, ${plural(visits, 'visit')}`}</title>
          </circle>
        ))}
      </svg>
      {shown && (
        <div className="row wrap small">
          <span className="number">
            {`Step ${shown.step}: worth ${formatNumber(shown.value)} (${formatNumber(shown.prior)} at first), ${plural(shown.visits, 'visit')}`}
          </span>
          {sheet && <SheetPicture sheet={sheet} at={at} alt="What this place would become" />}
          {shown.guess && (
            <span className="guess-strip">
              <SequenceLetters letters={shown.guess} molecule={molecule} />
            </span>
          )}
        </div>
      )}
    </figure>
  );
}
