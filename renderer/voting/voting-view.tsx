import { useEffect, useRef, useState } from 'react';
import { useStore } from 'zustand';
import { Button } from '#renderer/components/button.tsx';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { Kbd } from '#renderer/components/kbd.tsx';
import { Picture } from '#renderer/components/picture.tsx';
import { useShortcuts } from '#renderer/state/shortcuts.ts';
import type { Choice, Voting } from './voting-store.ts';

/** The question on screen, the same for ranking and for blind comparison. */
export function VotingView({ voting, ask, finished }: { voting: Voting; ask: string; finished: string }) {
  const state = useStore(voting.store);
  const [zoom, setZoom] = useState(false);
  const [hovered, setHovered] = useState<number | null>(null);
  const stage = useRef<HTMLDivElement>(null);
  const ready = useRef(0);
  const { question, pressed, phase } = state;
  const pair = question?.mode === 'pair';
  const trialId = question?.trialId;

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new question starts its own count of loaded pictures.
  useEffect(() => {
    ready.current = 0;
  }, [trialId]);

  useEffect(() => {
    const up = (event: KeyboardEvent) => event.key === ' ' && setZoom(false);
    const away = () => setZoom(false);
    window.addEventListener('keyup', up);
    window.addEventListener('blur', away);
    return () => {
      window.removeEventListener('keyup', up);
      window.removeEventListener('blur', away);
    };
  }, []);

  const vote = (choice: Choice) => void voting.vote(choice);
  const slot = (n: number, strong = false) => vote({ kind: 'slot', slot: n, strong });
  const group = 'Voting';
  useShortcuts([
    ...(pair
      ? [
          { keys: ['ArrowLeft', '1'], does: 'The left one is better', group, run: () => slot(0) },
          { keys: ['ArrowRight', '2'], does: 'The right one is better', group, run: () => slot(1) },
          { keys: ['Shift+ArrowLeft'], does: 'The left one is much better', group, run: () => slot(0, true) },
          { keys: ['Shift+ArrowRight'], does: 'The right one is much better', group, run: () => slot(1, true) },
          { keys: ['ArrowDown'], does: 'Equally good', group, run: () => vote({ kind: 'tie' }) },
        ]
      : (question?.slots ?? []).slice(0, 9).map((_, i) => ({
          keys: [String(i + 1)],
          does: `Picture ${i + 1} is the best`,
          group,
          run: () => slot(i),
        }))),
    { keys: ['ArrowUp', '0'], does: pair ? 'Both bad' : 'All bad', group, run: () => vote({ kind: 'both-bad' }) },
    { keys: ['s'], does: 'Skip', group, run: () => vote({ kind: 'skip' }) },
    { keys: ['Ctrl+z', 'Backspace'], does: 'Take the last vote back', group, run: () => void voting.undo() },
    { keys: [' '], does: 'Hold to enlarge', group, run: () => setZoom(true) },
  ]);

  if (state.phase === 'failed' && state.error)
    return <ErrorNote error={state.error} retry={() => void voting.load()} />;
  if (state.phase === 'finished') {
    return (
      <div className="voting" data-testid="voting-finished">
        <EmptyState
          icon={<Icon name="check" size={44} />}
          title="Every question is answered"
          action={
            <Button shortcut="Ctrl+z" onClick={() => void voting.undo()} data-testid="vote-undo">
              Undo the last answer
            </Button>
          }
        >
          {finished}
        </EmptyState>
        {state.error && <ErrorNote error={state.error} />}
      </div>
    );
  }
  if (!question) return <div className="stage waiting" aria-busy="true" />;

  const busy = phase !== 'asking';
  const isPressed = (kind: Choice['kind'], n?: number) =>
    pressed !== null && pressed.kind === kind && (pressed.kind !== 'slot' || pressed.slot === n);
  const names = pair ? ['Left', 'Right'] : question.slots.map((_, i) => `Picture ${i + 1}`);
  const loaded = () => {
    ready.current++;
    if (ready.current >= question.slots.length) voting.shown();
  };
  // A press by pointer leaves the button, so that Space enlarges instead of pressing it again.
  const byPointer = (detail: number) => detail > 0 && stage.current?.focus({ preventScroll: true });

  return (
    <div className="voting" ref={stage} tabIndex={-1} data-testid="voting">
      <p className="hidden-text" aria-live="polite">
        {`Question ${question.number}${question.total === null ? '' : ` of ${question.total}`}: ${question.prompt}`}
      </p>
      <div className="ask">
        <h2>{ask}</h2>
        <p className="quiet" data-testid="question-prompt">
          {question.prompt}
        </p>
      </div>
      {state.error && <ErrorNote error={state.error} />}
      <div className={pair ? 'stage pair' : 'stage many'} data-count={question.slots.length}>
        {question.slots.map((shown, i) => (
          <button
            key={`${question.trialId}-${shown.sampleId}`}
            type="button"
            className={
              isPressed('slot', i)
                ? `slot pressed${pressed?.kind === 'slot' && pressed.strong ? ' strong' : ''}`
                : 'slot'
            }
            aria-label={`${names[i]} is ${pair ? 'better' : 'the best'}`}
            aria-keyshortcuts={pair ? (i === 0 ? 'ArrowLeft 1' : 'ArrowRight 2') : String(i + 1)}
            aria-disabled={busy}
            data-testid={pair ? (i === 0 ? 'vote-left' : 'vote-right') : `vote-${i + 1}`}
            onClick={(event) => {
              slot(i, event.shiftKey);
              byPointer(event.detail);
            }}
            onPointerEnter={() => setHovered(i)}
            onPointerLeave={() => setHovered(null)}
          >
            <Picture hash={shown.hash} alt="" onReady={loaded} />
            <span className="slot-label">
              {pair ? i === 0 ? <Kbd chord="ArrowLeft" silent /> : null : <Kbd chord={String(i + 1)} silent />}
              {pair && names[i]}
              {pair && i === 1 ? <Kbd chord="ArrowRight" silent /> : null}
            </span>
          </button>
        ))}
      </div>
      <div className="answers">
        <div className="row wrap">
          {pair && (
            <Button
              className={isPressed('tie') ? 'vote pressed' : 'vote'}
              shortcut="ArrowDown"
              aria-disabled={busy}
              data-testid="vote-tie"
              onClick={(event) => {
                vote({ kind: 'tie' });
                byPointer(event.detail);
              }}
            >
              Equally good
            </Button>
          )}
          <Button
            className={isPressed('both-bad') ? 'vote pressed' : 'vote'}
            shortcut="ArrowUp"
            aria-disabled={busy}
            data-testid="vote-both-bad"
            onClick={(event) => {
              vote({ kind: 'both-bad' });
              byPointer(event.detail);
            }}
          >
            {pair ? 'Both bad' : 'All bad'}
          </Button>
          <Button
            className={isPressed('skip') ? 'vote pressed' : 'vote'}
            shortcut="s"
            aria-disabled={busy}
            data-testid="vote-skip"
            onClick={(event) => {
              vote({ kind: 'skip' });
              byPointer(event.detail);
            }}
          >
            Skip
          </Button>
          <Button
            look="plain"
            className="vote"
            shortcut="Ctrl+z"
            data-testid="vote-undo"
            onClick={(event) => {
              void voting.undo();
              byPointer(event.detail);
            }}
          >
            Undo
          </Button>
        </div>
        <span className="hints small quiet">
          {pair && (
            <>
              <Kbd chord="Shift" silent /> + arrow: much better
            </>
          )}
          <Kbd chord=" " silent /> enlarge
        </span>
      </div>
      {zoom && (
        <div className="zoom" aria-hidden="true">
          {(hovered === null ? question.slots : question.slots.slice(hovered, hovered + 1)).map((shown) => (
            <Picture key={shown.sampleId} hash={shown.hash} alt="" />
          ))}
        </div>
      )}
    </div>
  );
}
