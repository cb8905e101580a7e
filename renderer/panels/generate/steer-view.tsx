import { useMemo, useState } from 'react';
import type { GuidedRecord, GuidedStep } from '#pipelines/engine/contract.ts';
import { SequenceLetters } from '#renderer/components/sequence-letters.tsx';
import { formatNumber } from '#renderer/logic/format.ts';
import type { Molecule } from '#renderer/logic/letters.ts';
import { lineageOf } from '#renderer/logic/lineage.ts';
import { SheetPicture } from './sheet-picture.tsx';
import { SteerChart } from './steer-chart.tsx';
import { SteerTree } from './steer-tree.tsx';

interface Props {
  readonly record: Pick<GuidedRecord, 'reward' | 'total' | 'tree' | 'result'> & {
    readonly steps: readonly GuidedStep[];
  };
  /** Of sequences. */
  readonly molecule?: Molecule;
  /** It is being made: the last step is shown until another is chosen. */
  readonly live?: boolean;
}

/** How a guided sample came to be: rewards over steps, what competed at each, who went on, and the tree of a search. */
export function SteerView({ record, molecule = 'other', live = false }: Props) {
  const { steps, tree, result } = record;
  const [chosen, setChosen] = useState<number | null>(null);
  const path = useMemo(() => lineageOf(steps, result), [steps, result]);
  const at = Math.min(chosen ?? steps.length - 1, steps.length - 1);
  const step = steps[at];
  return (
    <section className="stack steer-view" aria-label="How it came to be" data-testid="steer-view">
      <SteerChart picture={record} />
      {step && (
        <>
          <label className="row small">
            <span className="number">{`Step ${step.step} of ${record.total}`}</span>
            <input
              type="range"
              className="grow"
              min={0}
              max={steps.length - 1}
              value={at}
              aria-label="Step looked at"
              data-testid="steer-step"
              onChange={(event) => {
                const to = Number(event.target.value);
                setChosen(live && to === steps.length - 1 ? null : to);
              }}
            />
          </label>
          <Rivals step={step} before={steps[at - 1]} ours={live ? null : (path[at] ?? null)} molecule={molecule} />
        </>
      )}
      {tree && <SteerTree tree={tree} total={record.total} molecule={molecule} />}
    </section>
  );
}

/** Revisions are accepted or not; of others some go on. */
function fateOf(place: number, wentOn: boolean, standing: number | null): string {
  if (standing === null) return wentOn ? 'went on' : 'ended';
  if (place === standing) return wentOn ? 'as it was, kept' : 'as it was, replaced';
  return wentOn ? 'revision, accepted' : 'revision, not accepted';
}

const formatValue = (value: number | null) => (value === null ? '–' : formatNumber(value));

interface RivalsProps {
  readonly step: GuidedStep;
  readonly before: GuidedStep | undefined;
  /** The place of the one that the result comes from. */
  readonly ours: number | null;
  readonly molecule: Molecule;
}

/** Those that competed at a step, best first, with the best guess of what each becomes. */
function Rivals({ step, before, ours, molecule }: RivalsProps) {
  const { values, survivors, parents, standing, guesses, sheet, left } = step;
  /** Else each comes from the one in its own place. */
  const branches = parents.some((parent, place) => parent !== null && parent !== place);
  const scored = values.some((value) => value !== null);
  const worth = (place: number) => values[place] ?? Number.NEGATIVE_INFINITY;
  const better = (a: number, b: number) => Number(worth(b) > worth(a)) - Number(worth(a) > worth(b));
  const places = [...values.keys()].sort((a, b) => better(a, b) || a - b);
  return (
    <ul className={sheet ? 'rivals pictures' : 'rivals'} aria-label={`What competed at step ${step.step}`}>
      {places.map((place) => {
        const wentOn = survivors.includes(place);
        const parent = parents[place] ?? null;
        const fate = place === ours ? 'became the result' : fateOf(place, wentOn, standing);
        const from = parent !== null && before && branches ? `from ${parent + 1} of step ${before.step}` : '';
        return (
          <li key={place} className={wentOn ? 'rival on' : 'rival'} data-testid="rival">
            <span className="number fate">{place === ours ? '◆' : wentOn ? '●' : '○'}</span>
            <span className="number">{`${place + 1}`}</span>
            {scored && <span className="number">{formatValue(values[place] ?? null)}</span>}
            <span className="quiet small">{[fate, from].filter(Boolean).join(', ')}</span>
            {sheet && <SheetPicture sheet={sheet} at={place} alt={`What ${place + 1} would become`} />}
            {guesses?.[place] && (
              <span className="guess-strip">
                <SequenceLetters letters={guesses[place]} molecule={molecule} />
              </span>
            )}
          </li>
        );
      })}
      {!scored && <li className="small quiet">No reward was asked for at this step.</li>}
      {left > 0 && <li className="small quiet">{`${left} more that are not kept.`}</li>}
    </ul>
  );
}
