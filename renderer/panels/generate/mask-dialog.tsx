import { useEffect, useRef, useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { Dialog } from '#renderer/components/dialog.tsx';
import { NumberField } from '#renderer/components/number-field.tsx';
import { Segmented } from '#renderer/components/segmented.tsx';
import { firstBrush, type MaskMark, nextBrush, type Size, shareWords } from '#renderer/logic/mask.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { loadPicture, shareOf } from './draw-mask.ts';
import { edit, useGenerate } from './generate-store.ts';
import { MaskStage } from './mask-stage.tsx';
import { StartStrength } from './start-strength.tsx';

const none: readonly MaskMark[] = [];

/** Painting what of the start picture may change. */
export function MaskDialog({ start, made, close }: { start: string; made: Size; close(): void }) {
  const mask = useGenerate((s) => s.form.mask);
  const marks = mask?.marks ?? none;
  const [picture, setPicture] = useState<Size | null>(null);
  const [brush, setBrush] = useState<number | null>(null);
  const [erase, setErase] = useState(false);
  /** What was undone, the last first. */
  const [undone, setUndone] = useState<readonly MaskMark[]>([]);
  useEffect(() => {
    void loadPicture(start).then(
      ({ naturalWidth: width, naturalHeight: height }) => {
        setPicture({ width, height });
        setBrush(firstBrush({ width, height }));
      },
      () => {},
    );
  }, [start]);

  const put = (next: readonly MaskMark[]) => edit({ mask: next.length === 0 ? null : { marks: next, share: null } });
  const add = (mark: MaskMark) => {
    put([...(useGenerate.getState().form.mask?.marks ?? none), mark]);
    setUndone([]);
  };
  const undo = () => {
    const last = marks.at(-1);
    if (!last) return;
    put(marks.slice(0, -1));
    setUndone([last, ...undone]);
  };
  const redo = () => {
    const [next, ...rest] = undone;
    if (!next) return;
    put([...marks, next]);
    setUndone(rest);
  };
  const resize = (by: 1 | -1) => picture && brush !== null && setBrush(nextBrush(brush, by, picture));
  const inDialog = true as const;
  const group = 'Mask';
  useShortcuts([
    { keys: ['['], does: 'Smaller brush', group, inDialog, repeats: true, run: () => resize(-1) },
    { keys: [']'], does: 'Larger brush', group, inDialog, repeats: true, run: () => resize(1) },
    { keys: ['e'], does: 'Paint or erase', group, inDialog, run: () => setErase(!erase) },
    { keys: ['i'], does: 'Invert', group, inDialog, run: () => add({ kind: 'invert' }) },
    { keys: ['Delete', 'Backspace'], does: 'Clear', group, inDialog, run: () => add({ kind: 'clear' }) },
    { keys: ['Ctrl+z'], does: 'Undo', group, inDialog, repeats: true, run: undo },
    { keys: ['Ctrl+Shift+z', 'Ctrl+y'], does: 'Redo', group, inDialog, repeats: true, run: redo },
  ]);
  const drawn = useRef((context: CanvasRenderingContext2D) => {
    const now = useGenerate.getState().form.mask;
    if (now && now.share === null) edit({ mask: { ...now, share: shareOf(context) } });
  });

  return (
    <Dialog title="What may change" close={close} testId="mask-dialog">
      <div className="mask-editor">
        {picture && brush !== null && (
          <MaskStage {...{ start, picture, made, marks, brush, erase, add }} drawn={drawn.current} />
        )}
        <div className="stack">
          <p className="small" role="status" data-testid="mask-share">
            {shareWords(mask)}
          </p>
          <div className="stack tight">
            <Segmented
              label="Brush"
              value={erase ? 'erase' : 'paint'}
              options={[
                { value: 'paint', label: 'Paint' },
                { value: 'erase', label: 'Erase' },
              ]}
              onChange={(value) => setErase(value === 'erase')}
            />
            <span className="small quiet">E changes it; Shift while drawing does the other.</span>
          </div>
          {picture && (
            <NumberField
              label="Brush"
              help="Its width in pixels: the keys [ and ]."
              value={brush}
              onChange={(size) => size !== null && size >= 1 && setBrush(size)}
              min={1}
              max={Math.min(picture.width, picture.height)}
              slider={[1, Math.min(picture.width, picture.height)]}
              testId="brush-size"
            />
          )}
          <div className="row wrap">
            <Button size="small" shortcut="i" onClick={() => add({ kind: 'invert' })} data-testid="mask-invert">
              Invert
            </Button>
            <Button size="small" shortcut="Delete" onClick={() => add({ kind: 'clear' })} data-testid="mask-clear">
              Clear
            </Button>
            <Button size="small" shortcut="Ctrl+z" disabled={marks.length === 0} onClick={undo} data-testid="mask-undo">
              Undo
            </Button>
            <Button
              size="small"
              shortcut="Ctrl+Shift+z"
              disabled={undone.length === 0}
              onClick={redo}
              data-testid="mask-redo"
            >
              Redo
            </Button>
          </div>
          <StartStrength />
          <Button look="primary" onClick={close} data-testid="mask-done">
            Done
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
