import type { Sample } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { Dialog } from '#renderer/components/dialog.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { Picture } from '#renderer/components/picture.tsx';
import { ReproducePicture } from '#renderer/components/reproduce-picture.tsx';
import { SampleFacts } from '#renderer/components/sample-facts.tsx';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { star, startFrom, takeSettings, useGenerate } from './generate-store.ts';
import { SteerFold } from './steer-fold.tsx';

/** One picture and everything needed to make it again. */
export function SampleDetail({ id, open, close }: { id: string; open(id: string): void; close(): void }) {
  const samples = useGenerate((s) => s.samples) ?? [];
  const action = useAction();
  const at = samples.findIndex((s) => s.id === id);
  const sample: Sample | undefined = samples[at];
  const step = (by: number) => {
    const next = samples[at + by];
    if (next) open(next.id);
  };
  const toggleStar = () => sample && action.run(() => star(sample));
  useShortcuts([
    { keys: ['.'], does: 'Star', group: 'Picture', inDialog: true, run: () => void toggleStar() },
    {
      keys: ['ArrowLeft'],
      does: 'Previous picture',
      group: 'Picture',
      inDialog: true,
      repeats: true,
      run: () => step(-1),
    },
    { keys: ['ArrowRight'], does: 'Next picture', group: 'Picture', inDialog: true, repeats: true, run: () => step(1) },
  ]);
  if (!sample) return null;

  const again = () => {
    takeSettings(sample);
    close();
  };
  const begin = () => {
    startFrom(sample);
    close();
  };
  return (
    <Dialog title={sample.prompt} close={close} testId="sample-detail">
      <div className="detail">
        <Picture hash={sample.hash} alt={sample.prompt} className="large" />
        <div className="stack">
          <SampleFacts sample={sample} />
          {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
          <div className="row wrap">
            <Button shortcut="." onClick={() => void toggleStar()} aria-pressed={sample.starred} data-testid="star">
              <Icon name="star" size={16} filled={sample.starred} />
              {sample.starred ? 'Starred' : 'Star'}
            </Button>
            <Button onClick={again}>Use these settings</Button>
            <Button onClick={begin} data-testid="use-as-start">
              Use as start
            </Button>
          </div>
          <SteerFold jobId={sample.jobId} index={sample.index} />
          <ReproducePicture key={sample.id} sample={sample} />
          <div className="row">
            <Button size="small" look="plain" shortcut="ArrowLeft" disabled={at <= 0} onClick={() => step(-1)}>
              Previous
            </Button>
            <Button
              size="small"
              look="plain"
              shortcut="ArrowRight"
              disabled={at >= samples.length - 1}
              onClick={() => step(1)}
            >
              Next
            </Button>
            <span className="small quiet number">{`${at + 1} of ${samples.length}`}</span>
          </div>
        </div>
      </div>
    </Dialog>
  );
}
