import type { CONTRACT_VERSION as ContractVersion, WireMessage } from '#pipelines/engine/contract.ts';

/** The contract this window speaks. Typed by the contract's own literal, so that a new version fails the type check here. */
export const contractVersion: typeof ContractVersion = 1;

/** One open line to the engine. Messages go and come whole and in order. */
export interface Channel {
  send(message: WireMessage): void;
  close(): void;
}

export interface ChannelEvents {
  opened(): void;
  message(message: WireMessage): void;
  /** The line is gone; nothing more comes from it. */
  closed(reason: string): void;
}

/** Starts opening a line and reports what happens on it. Each call is a fresh line. */
export type Transport = (events: ChannelEvents) => Channel;

/** A failure told by the engine, or of the line to it. */
export class EngineError extends Error {
  readonly code: string;
  readonly hint: string;

  constructor(code: string, message: string, hint: string) {
    super(message);
    this.name = 'EngineError';
    this.code = code;
    this.hint = hint;
  }
}

/** Any thrown value as something that can be shown: what, and what to do next. */
export function toEngineError(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new EngineError('window/internal', message, 'Try again. If it stays, copy the details and reload the window.');
}
