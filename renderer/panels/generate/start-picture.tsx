import { useRef, useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Picture } from '#renderer/components/picture.tsx';
import { marks, type Size, shareWords } from '#renderer/logic/mask.ts';
import { keepPicture } from '#renderer/state/keep-picture.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { edit, startFrom, useGenerate } from './generate-store.ts';
import { MaskDialog } from './mask-dialog.tsx';
import { MaskOverlay } from './mask-overlay.tsx';
import { StartStrength } from './start-strength.tsx';

/**
 * The picture that new ones start from, what of it may change, and how much; while there is none, where to put one.
 * @param made pixels of the pictures to make.
 */
export function StartPicture({ made, problem }: { made: Size; problem: string | null }) {
  const { start, mask } = useGenerate((s) => s.form);
  const [painting, setPainting] = useState(false);
  const chooser = useRef<HTMLInputElement>(null);
  const action = useAction();
  const take = (file: File | undefined) => {
    if (file) void action.run(async () => startFrom({ hash: await keepPicture(file), prompt: '' }));
  };
  return (
    <fieldset
      className="stack tight start"
      aria-label="Start picture"
      data-testid="start-picture"
      onDrop={(event) => {
        // Elsewhere in the window it would fill the form.
        event.preventDefault();
        take([...event.dataTransfer.files].find(({ type }) => type.startsWith('image/')));
      }}
    >
      <input
        ref={chooser}
        type="file"
        hidden
        accept="image/png,image/jpeg,image/webp,image/avif"
        data-testid="start-file"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          // The same file can be chosen again.
          event.currentTarget.value = '';
          take(file);
        }}
      />
      {start ? (
        <>
          <div className="row">
            <span className="start-thumbnail" style={{ aspectRatio: `${made.width} / ${made.height}` }}>
              <Picture key={start.hash} hash={start.hash} alt={start.prompt || 'Start picture'} />
              {mask && <MaskOverlay marks={mask.marks} start={start.hash} made={made} />}
            </span>
            <div className="stack tight">
              <Button size="small" onClick={() => setPainting(true)} data-testid="mask-open">
                {marks(mask) ? 'Change the mask' : 'Paint what may change'}
              </Button>
              <Button
                size="small"
                look="plain"
                onClick={() => edit({ start: null, mask: null })}
                data-testid="start-remove"
              >
                Start from noise instead
              </Button>
            </div>
          </div>
          {mask && (
            <p className="small quiet" data-testid="start-share">
              {shareWords(mask)}
            </p>
          )}
          <StartStrength problem={problem} testId="strength" />
          {painting && <MaskDialog start={start.hash} made={made} close={() => setPainting(false)} />}
        </>
      ) : (
        <Button
          size="small"
          busy={action.busy}
          title="Or drop a picture here. Elsewhere in the window its settings are read."
          data-testid="start-choose"
          onClick={() => chooser.current?.click()}
        >
          Start from a picture
        </Button>
      )}
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
    </fieldset>
  );
}
