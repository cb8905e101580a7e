import { useEffect, useRef } from 'react';
import type { MaskMark, Size } from '#renderer/logic/mask.ts';
import { drawMask, loadPicture } from './draw-mask.ts';

interface Props {
  readonly marks: readonly MaskMark[];
  /** Hash of the picture that it lies over. */
  readonly start: string;
  readonly made: Size;
  /** Told the context of the canvas whenever all marks are drawn on it. */
  drawn?(context: CanvasRenderingContext2D): void;
}

/** A mask over its picture, tinted. */
export function MaskOverlay({ marks, start, made: { width, height }, drawn }: Props) {
  const ref = useRef<HTMLCanvasElement>(null);
  const tell = useRef(drawn);
  tell.current = drawn;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a canvas of another size is empty.
  useEffect(() => {
    let gone = false;
    const context = ref.current?.getContext('2d', { willReadFrequently: true });
    // A picture that is missing says so itself.
    const picture = loadPicture(start).catch(() => null);
    void picture.then(async (image) => {
      if (gone || !context || !image) return;
      await drawMask(context, marks, { width: image.naturalWidth, height: image.naturalHeight });
      if (!gone) tell.current?.(context);
    });
    return () => {
      gone = true;
    };
  }, [marks, start, width, height]);
  return <canvas ref={ref} className="mask" width={width} height={height} />;
}
