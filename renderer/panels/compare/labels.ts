import type { Adapter, Session } from '#pipelines/engine/contract.ts';
import { recall, remember } from '#renderer/state/memory.ts';

export const sideName = (adapters: readonly Adapter[], id: string | null): string =>
  id === null ? 'Base model' : (adapters.find((adapter) => adapter.id === id)?.name ?? 'a removed adapter');

/** A comparison is over when every trial is answered, or when its labels were revealed before that. */
export const isOver = (session: Session): boolean =>
  session.remaining === 0 || recall(`revealed.${session.id}`) === 'yes';

export const reveal = (sessionId: string): void => remember(`revealed.${sessionId}`, 'yes');
