import { type MouseEvent, type RefObject, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { gridShape, itemsInSight, scrollToShow } from '#renderer/logic/grid.ts';
import { moveTo, scroll, showDetail, toggleSelected, useGallery, wantRows } from './gallery-store.ts';
import { GalleryTile, tileId } from './gallery-tile.tsx';

/** Rows kept before and after those in sight. */
const SPARE_ROWS = 2;

/** All pictures that match. However many there are, only the rows in sight and a few more exist. */
export function GalleryGrid({ box }: { box: RefObject<HTMLDivElement | null> }) {
  const seqs = useGallery((s) => s.seqs) ?? [];
  const { search, cursor, reveal, selected, side: wanted } = useGallery();
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [row, setRow] = useState(0);
  const shape = gridShape(size.width, wanted);
  const rows = Math.ceil(seqs.length / shape.columns);
  const [from, to] = itemsInSight(shape, row * shape.pitch, size.height + shape.pitch, seqs.length, SPARE_ROWS);
  const shown = seqs.slice(from, to);

  const follow = () => {
    scroll.top = box.current?.scrollTop ?? 0;
    setRow(Math.floor(scroll.top / shape.pitch));
  };
  const scrollTo = (top: number) => {
    if (box.current) box.current.scrollTop = top;
    follow();
  };

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setSize({ width: element.clientWidth, height: element.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, [box]);

  // Another size of tiles: the picture at the top stays there. Also the way back to where the list was left.
  const before = useRef(shape);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only when the shape changes.
  useLayoutEffect(() => {
    if (size.width === 0) return;
    const top = Math.floor(scroll.top / before.current.pitch) * before.current.columns;
    const same = before.current.pitch === shape.pitch;
    scrollTo(same || before.current.side === 1 ? scroll.top : Math.floor(top / shape.columns) * shape.pitch);
    before.current = shape;
  }, [shape.pitch, shape.columns]);

  const searched = useRef(search);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another list begins at its top.
  useLayoutEffect(() => {
    if (searched.current === search) return;
    searched.current = search;
    scrollTo(0);
  }, [search]);

  const revealed = useRef(reveal);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only when the keyboard went somewhere.
  useLayoutEffect(() => {
    if (revealed.current === reveal) return;
    revealed.current = reveal;
    scrollTo(scrollToShow(shape, cursor, scroll.top, size.height));
  }, [reveal]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `shown` is a new list every time.
  useEffect(() => {
    if (size.width > 0) wantRows(shown);
  }, [from, to, seqs, size.width]);

  const indexOf = (event: MouseEvent): number => {
    const tile = (event.target as Element).closest<HTMLElement>('[data-index]');
    return tile ? Number(tile.dataset.index) : -1;
  };
  const current = seqs[cursor];
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are shortcuts of the place.
    <div
      ref={box}
      className="gallery-scroll"
      role="listbox"
      aria-label="Pictures"
      aria-multiselectable
      aria-activedescendant={current !== undefined && cursor >= from && cursor < to ? tileId(current) : undefined}
      tabIndex={0}
      data-testid="gallery-grid"
      onScroll={follow}
      onMouseDown={(event) => {
        // Focus stays with the list: tiles come and go.
        if (event.button !== 0 || indexOf(event) < 0) return;
        event.preventDefault();
        box.current?.focus({ preventScroll: true });
      }}
      onClick={(event) => {
        const index = indexOf(event);
        if (index < 0) return;
        if (event.ctrlKey || event.metaKey) toggleSelected(index);
        else moveTo(index, event.shiftKey);
      }}
      onDoubleClick={(event) => indexOf(event) >= 0 && showDetail(true)}
    >
      <div className="gallery-all" style={{ height: Math.max(0, rows * shape.pitch - 8) }}>
        {size.width > 0 &&
          shown.map((seq, i) => {
            const index = from + i;
            return (
              <GalleryTile
                key={seq}
                seq={seq}
                index={index}
                x={(index % shape.columns) * shape.pitch}
                y={Math.floor(index / shape.columns) * shape.pitch}
                side={shape.side}
                isCurrent={index === cursor}
                isSelected={selected.has(seq)}
              />
            );
          })}
      </div>
    </div>
  );
}
