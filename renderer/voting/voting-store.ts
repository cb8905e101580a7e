import { createStore, type StoreApi } from 'zustand/vanilla';
import type { Input, Question, Session } from '#pipelines/engine/contract.ts';
import type { Client } from '#renderer/transport/client.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';

/** One answer to a question. `slot` is the picture's place as shown, from the left, 0-based. */
export type Choice =
  | { readonly kind: 'slot'; readonly slot: number; readonly strong: boolean }
  | { readonly kind: 'tie' | 'both-bad' | 'skip' };

export interface VotingState {
  readonly sessionId: string;
  /** `sending`: a vote is on its way to disk; `asking`: the question waits for an answer. */
  readonly phase: 'loading' | 'asking' | 'sending' | 'finished' | 'failed';
  readonly question: Question | null;
  /** The answer that was pressed, shown at once; the next question only follows once the engine has stored it. */
  readonly pressed: Choice | null;
  readonly error: EngineError | null;
  /** Votes cast or taken back here, so that what depends on them knows to look again. */
  readonly changes: number;
}

export interface Voting {
  readonly store: StoreApi<VotingState>;
  load(): Promise<void>;
  /** Ignored while another vote is on its way, or when the question has no such answer. */
  vote(choice: Choice): Promise<void>;
  undo(): Promise<void>;
  /** The pictures are on screen: thinking time starts here. */
  shown(): void;
}

/** The vote message for a choice, or null when this kind of question has no such answer. */
export function voteInput(
  question: Question,
  choice: Choice,
): Pick<Input<'sessions.vote'>, 'outcome' | 'winnerId' | 'strong'> | null {
  if (question.mode === 'pair') {
    if (choice.kind !== 'slot') return { outcome: choice.kind };
    if (choice.slot > 1) return null;
    return { outcome: choice.slot === 0 ? 'left' : 'right', strong: choice.strong };
  }
  if (choice.kind === 'tie') return null;
  if (choice.kind !== 'slot') return { outcome: choice.kind };
  const winner = question.slots[choice.slot];
  return winner ? { winnerId: winner.sampleId, strong: choice.strong } : null;
}

/** One session's questions and answers. A vote counts when the engine says it is stored, not before. */
export function createVoting(
  client: Client,
  sessionId: string,
  onSession: (session: Session) => void,
  now: () => number = () => performance.now(),
): Voting {
  const store = createStore<VotingState>(() => ({
    sessionId,
    phase: 'loading',
    question: null,
    pressed: null,
    error: null,
    changes: 0,
  }));
  let shownAt: number | null = null;

  function ask(question: Question | null, changed: boolean): void {
    shownAt = null;
    store.setState((s) => ({
      phase: question ? 'asking' : 'finished',
      question,
      pressed: null,
      error: null,
      changes: s.changes + (changed ? 1 : 0),
    }));
  }

  return {
    store,
    async load() {
      store.setState({ phase: 'loading', error: null });
      try {
        ask(await client.call('sessions.question', { id: sessionId }), false);
      } catch (error) {
        store.setState({ phase: 'failed', error: toEngineError(error) });
      }
    },
    async vote(choice) {
      const { phase, question } = store.getState();
      if (phase !== 'asking' || !question) return;
      const input = voteInput(question, choice);
      if (!input) return;
      const responseMs = shownAt === null ? undefined : Math.max(0, now() - shownAt);
      store.setState({ phase: 'sending', pressed: choice, error: null });
      try {
        const answer = await client.call('sessions.vote', {
          trialId: question.trialId,
          ...input,
          ...(responseMs === undefined ? {} : { responseMs }),
        });
        onSession(answer.session);
        ask(answer.next, true);
      } catch (error) {
        // The question stays: the same answer to the same trial can be given again without counting twice.
        store.setState({ phase: 'asking', pressed: null, error: toEngineError(error) });
      }
    },
    async undo() {
      const { phase, question } = store.getState();
      if (phase !== 'asking' && phase !== 'finished') return;
      store.setState({ phase: 'sending', pressed: null, error: null });
      try {
        const answer = await client.call('sessions.undo', { id: sessionId });
        onSession(answer.session);
        ask(answer.question ?? question, true);
      } catch (error) {
        store.setState({ phase, error: toEngineError(error) });
      }
    },
    shown() {
      shownAt ??= now();
    },
  };
}
