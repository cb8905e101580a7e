import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from 'react';
import { Picture } from '#renderer/components/picture.tsx';
import { type MaskMark, type Point, type Size, usedPart } from '#renderer/logic/mask.ts';
import { drawStroke } from './draw-mask.ts';
import { MaskOverlay } from './mask-overlay.tsx';

/** Bit of `PointerEvent.buttons` for the eraser end of a pen. */
const PEN_ERASER = 32;
const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

interface Props {
  readonly start: string;
  /** Pixels of the picture. */
  readonly picture: Size;
  /** Pixels of what is made of it: what is cut off is not shown. */
  readonly made: Size;
  readonly marks: readonly MaskMark[];
  /** Diameter of the brush, in pixels of the picture. */
  readonly brush: number;
  readonly erase: boolean;
  add(mark: MaskMark): void;
  drawn(context: CanvasRenderingContext2D): void;
}

/**
 * A picture to paint on: by mouse, pen or finger; by keyboard the arrows move the brush and Space paints. Shift, and the eraser
 * of a pen, do the other of painting and erasing.
 */
export function MaskStage({ start, picture, made, marks, brush, erase, add, drawn }: Props) {
  const part = usedPart(picture, made);
  const canvas = useRef<CanvasRenderingContext2D | null>(null);
  /** The stroke that is being drawn. */
  const stroke = useRef<{ erase: boolean; size: number; points: Point[] } | null>(null);
  const [at, setAt] = useState<Point | null>(null);
  const cursor = at ?? { x: picture.width / 2, y: picture.height / 2 };

  const begin = (point: Point, other: boolean) => {
    stroke.current = { erase: erase !== other, size: brush, points: [] };
    extend(point);
  };
  const extend = (point: Point) => {
    setAt(point);
    const current = stroke.current;
    if (!current) return;
    const last = current.points.at(-1);
    current.points.push(point);
    // All of it is drawn when it is finished.
    if (canvas.current)
      drawStroke(canvas.current, { kind: 'stroke', ...current, points: last ? [last, point] : [point] }, picture);
  };
  const end = () => {
    if (stroke.current) add({ kind: 'stroke', ...stroke.current });
    stroke.current = null;
  };
  // A stroke that was begun is not lost with its stage.
  const finish = useRef(end);
  finish.current = end;
  useEffect(() => () => finish.current(), []);

  const placeOf = (event: { clientX: number; clientY: number }, element: Element): Point => {
    const box = element.getBoundingClientRect();
    return {
      x: part.left + ((event.clientX - box.left) / box.width) * part.width,
      y: part.top + ((event.clientY - box.top) / box.height) * part.height,
    };
  };
  const pointer = {
    onPointerDown: (event: PointerEvent<HTMLElement>) => {
      if (event.button !== 0 && event.buttons !== PEN_ERASER) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      begin(placeOf(event, event.currentTarget), event.shiftKey || event.buttons === PEN_ERASER);
    },
    onPointerMove: (event: PointerEvent<HTMLElement>) => {
      const passed = event.nativeEvent.getCoalescedEvents?.() ?? [];
      for (const one of passed.length > 0 ? passed : [event]) extend(placeOf(one, event.currentTarget));
    },
    onPointerUp: end,
    onPointerCancel: end,
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === ' ') {
      event.preventDefault();
      if (!stroke.current) begin(cursor, event.shiftKey);
      return;
    }
    const arrow = ARROWS[event.key];
    if (!arrow || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const step = Math.max(1, brush / 4);
    const inside = (value: number, from: number, length: number) => Math.min(Math.max(value, from), from + length);
    extend({
      x: inside(cursor.x + arrow[0] * step, part.left, part.width),
      y: inside(cursor.y + arrow[1] * step, part.top, part.height),
    });
  };
  const percent = (value: number) => `${100 * value}%`;
  return (
    <div
      className={Math.max(made.width, made.height) <= 160 ? 'mask-stage coarse' : 'mask-stage'}
      style={{
        aspectRatio: `${made.width} / ${made.height}`,
        maxWidth: `min(100%, ${62 * (made.width / made.height)}vh)`,
      }}
      role="application"
      aria-label="What may change: move the brush with the arrow keys, paint with Space"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: painting has no control of its own; this one takes pointer and keys.
      tabIndex={0}
      data-testid="mask-stage"
      {...pointer}
      onPointerLeave={() => stroke.current === null && setAt(null)}
      onKeyDown={onKeyDown}
      onKeyUp={(event) => event.key === ' ' && end()}
      onBlur={end}
    >
      <Picture hash={start} alt="The picture to start from" />
      <MaskOverlay
        marks={marks}
        start={start}
        made={made}
        drawn={(context) => {
          canvas.current = context;
          // Marks that came while something was being drawn must not wipe it.
          if (stroke.current) drawStroke(context, { kind: 'stroke', ...stroke.current }, picture);
          else drawn(context);
        }}
      />
      <span
        className={at ? 'brush' : 'brush away'}
        style={{
          left: percent((cursor.x - part.left) / part.width),
          top: percent((cursor.y - part.top) / part.height),
          width: percent(brush / part.width),
        }}
      />
    </div>
  );
}
