import type { Sample } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { Dialog } from '#renderer/components/dialog.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { Picture } from '#renderer/components/picture.tsx';
import { formatWhen } from '#renderer/logic/format.ts';
import { useApp } from '#renderer/state/app.ts';
import { choose } from '#renderer/state/navigation.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { edit, star, useGenerate } from './generate-store.ts';
import { schedulerNamed } from './schedulers.ts';

/** One picture and everything needed to make it again. */
export function SampleDetail({ id, open, close }: { id: string; open(id: string): void; close(): void }) {
  const samples = useGenerate((s) => s.samples) ?? [];
  const { models, adapters } = useApp();
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
    const { prompt, negativePrompt, steps, scheduler, eta, guidanceScale, seed, modelId, adapterId } = sample;
    edit({
      prompts: prompt,
      negativePrompt,
      steps,
      eta,
      guidanceScale,
      seed,
      scheduler: schedulerNamed(scheduler)?.value ?? 'ddim',
    });
    choose({ modelId, adapterId });
    close();
  };
  const facts: [string, string | number][] = [
    ['Model', models?.find((m) => m.id === sample.modelId)?.name ?? sample.modelId],
    [
      'Adapter',
      sample.adapterId === null ? 'none' : (adapters?.find((a) => a.id === sample.adapterId)?.name ?? sample.adapterId),
    ],
    ...(sample.negativePrompt ? [['Avoid', sample.negativePrompt] as [string, string]] : []),
    ['Seed', `${sample.seed}, picture ${sample.index}`],
    ['Steps', sample.steps],
    ['Guidance', sample.guidanceScale],
    ['Scheduler', `${sample.scheduler}, eta ${sample.eta}`],
    ['Size', `${sample.width} × ${sample.height}`],
    ['For tuning', sample.hasTrajectory ? 'steps are kept' : 'steps were not kept'],
    ['Made', formatWhen(sample.createdAt)],
  ];
  return (
    <Dialog title={sample.prompt} close={close} testId="sample-detail">
      <div className="detail">
        <Picture hash={sample.hash} alt={sample.prompt} className="large" />
        <div className="stack">
          <dl className="facts">
            {facts.map(([name, value]) => (
              <div key={name} className="fact">
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
          <p className="mono quiet" title="SHA-256 of the picture file">
            {sample.hash}
          </p>
          {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
          <div className="row wrap">
            <Button shortcut="." onClick={() => void toggleStar()} aria-pressed={sample.starred} data-testid="star">
              <Icon name="star" size={16} filled={sample.starred} />
              {sample.starred ? 'Starred' : 'Star'}
            </Button>
            <Button onClick={again}>Use these settings</Button>
          </div>
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
