/** Arithmetic of a grid of equal squares of which only the rows in sight exist. Lengths in CSS pixels. */

export const GRID_GAP = 8;

export interface GridShape {
  readonly columns: number;
  /** Side of a square. */
  readonly side: number;
  /** From the top of one row to the top of the next. */
  readonly pitch: number;
}

/** As many squares of about `wanted` as fit side by side, grown to fill the width. */
export function gridShape(width: number, wanted: number): GridShape {
  const columns = Math.max(1, Math.floor((width + GRID_GAP) / (wanted + GRID_GAP)));
  const side = Math.max(1, Math.floor((width - GRID_GAP * (columns - 1)) / columns));
  return { columns, side, pitch: side + GRID_GAP };
}

/** Items in sight, `[from, to)`, with `spare` rows before and after. */
export function itemsInSight(
  { columns, pitch }: GridShape,
  scrollTop: number,
  height: number,
  count: number,
  spare: number,
): readonly [from: number, to: number] {
  const first = Math.max(0, Math.floor(scrollTop / pitch) - spare);
  const last = Math.ceil((scrollTop + height) / pitch) + spare;
  return [Math.min(count, first * columns), Math.max(0, Math.min(count, last * columns))];
}

/** How far to scroll, at least, so that item `index` is wholly in sight. */
export function scrollToShow(shape: GridShape, index: number, scrollTop: number, height: number): number {
  const top = Math.floor(index / shape.columns) * shape.pitch;
  if (top < scrollTop) return top;
  return Math.max(scrollTop, top + shape.side - height);
}

const STEPS: Readonly<Record<string, (columns: number, rows: number) => number>> = {
  ArrowLeft: () => -1,
  ArrowRight: () => 1,
  ArrowUp: (columns) => -columns,
  ArrowDown: (columns) => columns,
  PageUp: (columns, rows) => -columns * rows,
  PageDown: (columns, rows) => columns * rows,
  Home: () => Number.NEGATIVE_INFINITY,
  End: () => Number.POSITIVE_INFINITY,
};

/** Where a key leads from item `index` of `count`; `rows` are those of a page. Up and down keep to their column. */
export function moveInGrid(index: number, key: string, columns: number, rows: number, count: number): number {
  const step = STEPS[key]?.(columns, Math.max(1, rows)) ?? 0;
  const to = index + step;
  if (to >= 0 && to < count) return to;
  const byRows = key === 'ArrowUp' || key === 'ArrowDown';
  // In the row above or below there may be nothing at this place.
  if (byRows && Math.floor(index / columns) === Math.floor(Math.min(Math.max(to, 0), count - 1) / columns))
    return index;
  return Math.min(Math.max(to, 0), count - 1);
}

/** Items between two, both included, whichever comes first. */
export function between<T>(items: readonly T[], a: number, b: number): readonly T[] {
  return items.slice(Math.min(a, b), Math.max(a, b) + 1);
}
