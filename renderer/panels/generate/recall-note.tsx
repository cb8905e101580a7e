import { useEffect, useRef } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { closeRecall, recallPicture, undoRecall, useRecall } from './recall-store.ts';

const PROGRAMS = {
  northlight: 'Northlight',
  a1111: 'AUTOMATIC1111',
  comfyui: 'ComfyUI',
  invokeai: 'InvokeAI',
  swarmui: 'SwarmUI',
  'draw-things': 'Draw Things',
} as const;

const pictureOf = (data: DataTransfer | null): File | undefined =>
  [...(data?.files ?? [])].find((file) => file.type.startsWith('image/'));

/** While shown, a picture that is dropped anywhere in the window or pasted fills the form. */
function usePictureDrop(): void {
  useEffect(() => {
    const over = (event: DragEvent) => event.preventDefault();
    const take = (event: Event, data: DataTransfer | null) => {
      const file = pictureOf(data);
      if (!file) return;
      event.preventDefault();
      void recallPicture(file);
    };
    const drop = (event: DragEvent) => {
      // A field that takes pictures of its own has it already.
      if (event.defaultPrevented) return;
      // Whatever is dropped must not replace the page.
      event.preventDefault();
      take(event, event.dataTransfer);
    };
    const paste = (event: ClipboardEvent) => {
      // What is copied from a page or an office program comes as text and as a picture of it.
      if (!event.clipboardData?.types.includes('text/plain')) take(event, event.clipboardData);
    };
    window.addEventListener('dragover', over);
    window.addEventListener('drop', drop);
    window.addEventListener('paste', paste);
    return () => {
      window.removeEventListener('dragover', over);
      window.removeEventListener('drop', drop);
      window.removeEventListener('paste', paste);
    };
  }, []);
}

/** Takes settings from a picture: the button, and what came of it. */
export function RecallNote() {
  const { busy, error, recalled } = useRecall();
  const chooser = useRef<HTMLInputElement>(null);
  usePictureDrop();
  return (
    <div className="stack tight">
      <input
        ref={chooser}
        type="file"
        hidden
        accept="image/png,image/jpeg,image/webp,image/avif"
        data-testid="recall-file"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          // The same file can be chosen again.
          event.currentTarget.value = '';
          if (file) void recallPicture(file);
        }}
      />
      <Button
        size="small"
        busy={busy}
        title="Or drop or paste a picture anywhere here"
        data-testid="recall"
        onClick={() => chooser.current?.click()}
      >
        Recall settings of a picture
      </Button>
      {error && <ErrorNote error={error} dismiss={closeRecall} />}
      {recalled && (
        <section className="card stack tight" aria-label="Recalled settings" data-testid="recalled">
          <p className="small">{`Taken from a picture of ${PROGRAMS[recalled.source]}.`}</p>
          {recalled.notes.length > 0 && (
            <ul className="stack tight small quiet" data-testid="recall-notes">
              {recalled.notes.map((note) => (
                <li key={note}>{note}</li>
              ))}
            </ul>
          )}
          <Fold title="What the picture says">
            <dl className="facts">
              {recalled.facts.map(({ name, value }) => (
                <div key={name} className="fact">
                  <dt>{name}</dt>
                  <dd>{value}</dd>
                </div>
              ))}
            </dl>
          </Fold>
          <div className="row">
            <Button size="small" onClick={undoRecall} data-testid="recall-undo">
              Undo
            </Button>
            <Button size="small" look="plain" onClick={closeRecall}>
              Close
            </Button>
          </div>
        </section>
      )}
    </div>
  );
}
