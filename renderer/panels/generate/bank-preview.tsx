import type { BankView } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Fold } from '#renderer/components/fold.tsx';
import { distanceWords, gainWords, makingWords, scaleWords } from '#renderer/logic/bank-words.ts';
import { fieldLabel } from '#renderer/logic/fields.ts';
import { formatNumber } from '#renderer/logic/format.ts';
import type { Followed } from '#renderer/logic/steering.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { BankHistogram } from './bank-histogram.tsx';
import { BankLadder } from './bank-ladder.tsx';
import { FormJob } from './form-job.tsx';
import { type BankOf, useBank } from './use-bank.ts';

interface Props {
  readonly of: BankOf;
  readonly followed: Followed;
  /** Null: the one that fits. */
  readonly alpha: number | null;
  /** Whether the method has a temperature. */
  readonly tilts: boolean;
  onAlpha(alpha: number): void;
}

/** What steering by rewards is expected to do, seen on plain samples: made once by a job, kept, and good for every reward. */
export function BankPreview({ of, followed, alpha, tilts, onAlpha }: Props) {
  const { view, job, error, make } = useBank(of, followed, alpha);
  const action = useAction();
  if (error) return <ErrorNote error={error} />;
  if (!view) return null;
  const start = (count: number) => void action.run(() => make(count));
  const next = view.sizes.find((size) => size > view.samples);
  const { preview } = view;
  const { rewards } = followed;
  const name = rewards.map(({ reward }) => fieldLabel(reward).toLowerCase()).join('” and “');
  return (
    <section className="bank stack tight" aria-label="What to expect" data-testid="bank">
      <h3>What to expect</h3>
      {view.samples < view.calibration ? (
        <p className="small quiet" data-testid="bank-calibration">
          {scaleWords(view, of.makes)}
        </p>
      ) : (
        preview === null &&
        !job && (
          <p className="small quiet" data-testid="bank-empty">
            {view.samples === 0
              ? `How much is there to gain? ${view.sizes[0]} ${of.makes} made without steering show what “${name}” says of the model’s own work, what this strength would change, and what extra work would bring. They are kept and serve every reward.`
              : `“${name}” ${rewards.length > 1 ? 'have' : 'has'} not looked at the ${view.samples} plain ${of.makes} of this model and prompt yet.`}
          </p>
        )
      )}
      {preview && <Found view={view} preview={preview} tilts={tilts} onAlpha={onAlpha} />}
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
      {job ? (
        <FormJob job={job} action={action} kept="What is made is kept" testId="bank" />
      ) : (
        <Making view={view} makes={of.makes} next={next} busy={action.busy} start={start} />
      )}
    </section>
  );
}

function Found({
  view,
  preview,
  tilts,
  onAlpha,
}: Pick<Props, 'tilts' | 'onAlpha'> & { view: BankView; preview: NonNullable<BankView['preview']> }) {
  const { suggestedAlpha, histogram } = preview;
  if (suggestedAlpha === null) {
    return (
      <p className="small quiet">{`The reward says the same of all ${view.scored}: there is nothing to follow.`}</p>
    );
  }
  return (
    <>
      <BankHistogram
        label={`Rewards of ${preview.samples} plain samples${tilts ? ', and as steering would weight them' : ''}`}
        from={histogram.from}
        to={histogram.to}
        plain={histogram.plain}
        outline={tilts ? histogram.tilted : null}
      />
      <p className="small quiet">
        {tilts ? 'Grey: as the model makes them. Outline: as steering would weight them' : 'As the model makes them'}
      </p>
      {tilts && (
        <>
          <p className="small number" data-testid="bank-gain">
            {gainWords(preview)}
          </p>
          <p className="small quiet number">{distanceWords(preview)}</p>
          {!preview.reliable && (
            <p className="small problem" data-testid="bank-unreliable">
              Unreliable: a few of them carry it. Less strength, or more plain samples, would show more.
            </p>
          )}
          {suggestedAlpha !== preview.alpha && (
            <Button size="small" data-testid="bank-suggested" onClick={() => onAlpha(suggestedAlpha)}>
              {`Use α ${formatNumber(suggestedAlpha)}, which fits this reward`}
            </Button>
          )}
        </>
      )}
      <Fold title="Extra work → expected gain" testId="bank-ladder-fold">
        <BankLadder preview={preview} />
      </Fold>
    </>
  );
}

function Making({
  view,
  makes,
  next,
  busy,
  start,
}: {
  view: BankView;
  makes: BankOf['makes'];
  next: number | undefined;
  busy: boolean;
  start(count: number): void;
}) {
  const unscored = view.samples - view.scored;
  if (view.samples > 0 && unscored > 0) {
    return (
      <Button size="small" busy={busy} data-testid="bank-score" onClick={() => start(view.samples)}>
        {`Score ${unscored === view.samples ? 'them' : `${unscored} more`}`}
      </Button>
    );
  }
  if (next === undefined) return null;
  return (
    <>
      <Button size="small" busy={busy} data-testid="bank-make" onClick={() => start(next)}>
        {view.samples === 0 ? `Make ${next} plain ${makes}` : `Make ${next - view.samples} more plain ${makes}`}
      </Button>
      <p className="small quiet">{makingWords(view, next)}</p>
    </>
  );
}
