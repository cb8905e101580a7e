import type { Input, Job } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { plural } from '#renderer/logic/format.ts';
import { randomSeed } from '#renderer/logic/prompts.ts';
import { costWords } from '#renderer/logic/steer-words.ts';
import { takeJob } from '#renderer/state/app.ts';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { useEstimate } from './use-estimate.ts';

interface Props {
  readonly noun: 'picture' | 'sequence';
  /** How many there will be. */
  readonly count: number;
  /** What the work is estimated from; null while something is missing or wrong. */
  readonly work: Pick<Input<'generate.start'>, 'prompts' | 'count' | 'steps' | 'steering'> | null;
  /** What stands in the way, where no field shows it. */
  readonly problem?: string | undefined;
  readonly ready: boolean;
  start(): Promise<Job>;
  show(showing: { readonly jobId: string }): Promise<void>;
  reseed(seed: number): void;
}

/** The end of a form that makes something: what it takes, what stands in the way, and the button. */
export function StartFoot({ noun, count, work, problem, ready, start, show, reseed }: Props) {
  const action = useAction();
  const { estimate, error: refused } = useEstimate(work);
  const begin = () => {
    if (!ready || action.busy) return;
    void action.run(async () => {
      const job = await start();
      takeJob(job);
      await show({ jobId: job.id });
      // In a narrow window they are below the form.
      if (matchMedia('(max-width: 900px)').matches) {
        document.querySelector('.two > .centre')?.scrollIntoView({ behavior: 'smooth' });
      }
    });
  };
  useShortcuts([
    { keys: ['Ctrl+Enter'], does: 'Generate', group: 'Generate', inFields: true, run: begin },
    { keys: ['d'], does: 'New seed', group: 'Generate', run: () => reseed(randomSeed()) },
  ]);
  return (
    <div className="foot">
      {problem && <p className="small quiet">{problem}</p>}
      {estimate && (
        <p className="small quiet" data-testid="steer-cost">
          {costWords(estimate, noun, work?.steering?.rewards.length)}
        </p>
      )}
      {refused && <p className="problem small">{refused.message}</p>}
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
      <Button
        look="primary"
        wide
        shortcut="Ctrl+Enter"
        busy={action.busy}
        disabled={!ready}
        onClick={begin}
        data-testid="generate-start"
      >
        {count > 0 ? `Generate ${plural(count, noun)}` : 'Generate'}
      </Button>
    </div>
  );
}
