import { type MouseEvent, memo, useEffect, useLayoutEffect, useRef, useState } from 'react';
import type { Sequence } from '#pipelines/engine/contract.ts';
import { SequenceLetters } from '#renderer/components/sequence-letters.tsx';
import { rewardName } from '#renderer/logic/fields.ts';
import { formatNumber } from '#renderer/logic/format.ts';
import { type GridShape, itemsInSight, scrollToShow } from '#renderer/logic/grid.ts';
import type { Molecule } from '#renderer/logic/letters.ts';
import { OWN_COLUMNS } from '#renderer/logic/sequence-rows.ts';
import { orderBy, toggle, useSequences } from './sequence-store.ts';

interface Props {
  readonly rows: readonly Sequence[];
  readonly rewards: readonly string[];
  readonly molecule: Molecule;
}

const TITLES: Readonly<Record<string, string>> = { index: 'No.', length: 'Length' };

const ROW = 26;
/** Of the line of titles, which stays at the top. */
const HEAD = 31;
const SHAPE: GridShape = { columns: 1, side: ROW, pitch: ROW };
/** Rows kept before and after those in sight. */
const SPARE = 8;

const rowId = (seq: number) => `sequence-${seq}`;

/** All sequences that are found. However many there are, only the rows in sight and a few more exist. */
export function SequenceList({ rows, rewards, molecule }: Props) {
  const { order, current, selected } = useSequences();
  const box = useRef<HTMLDivElement>(null);
  const [height, setHeight] = useState(0);
  const [top, setTop] = useState(0);
  const [from, to] = itemsInSight(SHAPE, top * ROW, height + ROW, rows.length, SPARE);
  const cursor = rows.findIndex(({ seq }) => seq === current);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setHeight(element.clientHeight));
    observer.observe(element);
    setHeight(element.clientHeight);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (cursor >= 0 && box.current)
      box.current.scrollTop = scrollToShow(SHAPE, cursor, box.current.scrollTop, height - HEAD);
  }, [cursor, height]);

  const click = (event: MouseEvent) => {
    const row = (event.target as Element).closest<HTMLElement>('[data-seq]');
    if (!row) return;
    const seq = Number(row.dataset.seq);
    if (event.ctrlKey || event.metaKey || (event.target as Element).closest('.pick')) toggle(seq);
    useSequences.setState({ current: seq });
  };
  const columns = [...OWN_COLUMNS, ...rewards];
  const widths = `32px 64px 64px ${rewards.map(() => '110px').join(' ')} max-content`;
  return (
    <div className="sequences">
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the keys are shortcuts of the place. */}
      <div
        ref={box}
        className="sequence-scroll"
        role="listbox"
        aria-label="Sequences"
        aria-multiselectable
        aria-activedescendant={cursor >= from && cursor < to && current !== null ? rowId(current) : undefined}
        tabIndex={0}
        data-testid="sequence-list"
        data-from={from}
        onScroll={() => setTop(Math.floor((box.current?.scrollTop ?? 0) / ROW))}
        onClick={click}
      >
        <div className="sequence-head" role="presentation" style={{ gridTemplateColumns: widths }}>
          <span />
          {columns.map((name) => (
            <button
              key={name}
              type="button"
              className="sort"
              title={`Order by ${name}`}
              aria-pressed={order.by === name}
              data-testid={`sort-${name}`}
              onClick={() => orderBy(name)}
            >
              <span className="cut">{TITLES[name] ?? rewardName(name)}</span>
              {order.by === name && (order.down ? ' ↓' : ' ↑')}
            </button>
          ))}
          <span className="quiet small">Letters</span>
        </div>
        <div className="sequence-all" role="presentation" style={{ height: rows.length * ROW }}>
          {rows.slice(from, to).map((row, i) => (
            <Row
              key={row.seq}
              row={row}
              y={(from + i) * ROW}
              rewards={rewards}
              widths={widths}
              molecule={molecule}
              isCurrent={row.seq === current}
              isSelected={selected.has(row.seq)}
            />
          ))}
        </div>
      </div>
    </div>
  );
}

interface RowProps {
  readonly row: Sequence;
  readonly y: number;
  readonly rewards: readonly string[];
  readonly widths: string;
  readonly molecule: Molecule;
  readonly isCurrent: boolean;
  readonly isSelected: boolean;
}

const Row = memo(function Row({ row, y, rewards, widths, molecule, isCurrent, isSelected }: RowProps) {
  return (
    <div
      id={rowId(row.seq)}
      className={isCurrent ? 'sequence-row current' : 'sequence-row'}
      role="option"
      aria-selected={isSelected}
      data-seq={row.seq}
      data-testid="sequence"
      tabIndex={-1}
      style={{ transform: `translateY(${y}px)`, gridTemplateColumns: widths }}
    >
      <span className="pick" aria-hidden>
        {isSelected ? '☑' : '☐'}
      </span>
      <span className="number" data-testid="sequence-index">
        {row.index}
      </span>
      <span className="number">{row.letters.length}</span>
      {rewards.map((reward) => (
        <span key={reward} className="number" data-testid="sequence-score">
          {row.scores[reward] === undefined ? '–' : formatNumber(row.scores[reward])}
        </span>
      ))}
      <SequenceLetters letters={row.letters} molecule={molecule} />
    </div>
  );
});
