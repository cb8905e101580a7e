import type { EventName, EventPayload, Input, Output, ProcedureName, WireMessage } from '#pipelines/engine/contract.ts';
import { type Channel, contractVersion, EngineError, type Transport } from './wire.ts';

export type Connection =
  | { phase: 'connecting' }
  | { phase: 'ready' }
  /** The line broke; another attempt follows by itself after `delayMs`. */
  | { phase: 'waiting'; attempt: number; delayMs: number }
  /** Window and engine speak different versions; trying again cannot help. */
  | { phase: 'refused'; error: EngineError };

export interface Client {
  /** Calls the engine. Rejects with an {@link EngineError}. Waits while the first connection is being made. */
  call<N extends ProcedureName>(name: N, input: Input<N>): Promise<Output<N>>;
  /** Listens to one topic; returns how to stop listening. */
  on<N extends EventName>(topic: N, listener: (payload: EventPayload<N>) => void): () => void;
  onConnection(listener: (connection: Connection) => void): () => void;
  readonly connection: Connection;
  start(): void;
  stop(): void;
}

interface Pending {
  message: WireMessage & { t: 'call' };
  sent: boolean;
  resolve(value: unknown): void;
  reject(error: EngineError): void;
}

const disconnected = () =>
  new EngineError(
    'engine/disconnected',
    'The connection to the engine was lost before it answered.',
    'Northlight reconnects by itself. Repeat what you did once the top strip says it is connected.',
  );

/**
 * A typed client that stays connected: says hello, checks the contract version, matches answers to calls, hands out
 * events, and reconnects with growing pauses. Calls in flight when the line breaks are rejected, never silently repeated.
 * @param delaysMs pauses before the first, second, … attempt; the last one repeats.
 */
export function createClient(
  transport: Transport,
  delaysMs: readonly number[] = [250, 500, 1000, 2000, 4000, 8000],
): Client {
  const pending = new Map<number, Pending>();
  const listeners = new Map<EventName, Set<(payload: never) => void>>();
  const connectionListeners = new Set<(connection: Connection) => void>();
  let connection: Connection = { phase: 'connecting' };
  let channel: Channel | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let nextId = 1;
  let attempt = 0;
  let running = false;
  /** Tells a line that was given up from the current one: its late reports are ignored. */
  let line = 0;

  function setConnection(next: Connection): void {
    connection = next;
    for (const listener of [...connectionListeners]) listener(next);
  }

  function rejectAll(error: EngineError): void {
    const all = [...pending.values()];
    pending.clear();
    for (const call of all) call.reject(error);
  }

  function open(): void {
    const mine = ++line;
    setConnection({ phase: 'connecting' });
    channel = transport({
      opened: () => {
        if (mine === line) channel?.send({ t: 'hello', version: contractVersion });
      },
      message: (message) => {
        if (mine === line) receive(message);
      },
      closed: () => {
        if (mine === line) lost();
      },
    });
  }

  function lost(): void {
    line++;
    channel = null;
    rejectAll(disconnected());
    if (!running || connection.phase === 'refused') return;
    const delayMs = delaysMs[Math.min(attempt, delaysMs.length - 1)] ?? 1000;
    attempt++;
    setConnection({ phase: 'waiting', attempt, delayMs });
    timer = setTimeout(open, delayMs);
  }

  function refuse(version: number): void {
    const error = new EngineError(
      'engine/version',
      `This window speaks contract ${contractVersion}, the engine speaks ${version}.`,
      'Close every Northlight window and start Northlight again, so that both come from the same installation.',
    );
    running = false;
    setConnection({ phase: 'refused', error });
    rejectAll(error);
    line++;
    channel?.close();
    channel = null;
  }

  function receive(message: WireMessage): void {
    if (message.t === 'hello') {
      if (message.version !== contractVersion) {
        refuse(message.version);
        return;
      }
      attempt = 0;
      setConnection({ phase: 'ready' });
      for (const call of pending.values()) transmit(call);
      return;
    }
    if (message.t === 'ev') {
      for (const listener of [...(listeners.get(message.topic) ?? [])]) listener(message.d as never);
      return;
    }
    if (message.t !== 'ok' && message.t !== 'err') return;
    const call = pending.get(message.id);
    if (!call) return;
    pending.delete(message.id);
    if (message.t === 'ok') call.resolve(message.r);
    else call.reject(new EngineError(message.e.code, message.e.message, message.e.hint));
  }

  function transmit(call: Pending): void {
    if (call.sent) return;
    call.sent = true;
    channel?.send(call.message);
  }

  return {
    get connection() {
      return connection;
    },
    call<N extends ProcedureName>(name: N, input: Input<N>): Promise<Output<N>> {
      if (connection.phase === 'refused') return Promise.reject(connection.error);
      if (connection.phase === 'waiting') return Promise.reject(disconnected());
      return new Promise<Output<N>>((resolve, reject) => {
        const id = nextId++;
        const call: Pending = {
          message: { t: 'call', id, m: name, p: input },
          sent: false,
          // The engine parses its outputs against the same contract, so the type is its promise.
          resolve: (value) => resolve(value as Output<N>),
          reject,
        };
        pending.set(id, call);
        if (connection.phase === 'ready') transmit(call);
      });
    },
    on(topic, listener) {
      const set = listeners.get(topic) ?? new Set();
      listeners.set(topic, set);
      set.add(listener);
      return () => set.delete(listener);
    },
    onConnection(listener) {
      connectionListeners.add(listener);
      return () => connectionListeners.delete(listener);
    },
    start() {
      if (running) return;
      running = true;
      attempt = 0;
      open();
    },
    stop() {
      running = false;
      clearTimeout(timer);
      line++;
      channel?.close();
      channel = null;
      rejectAll(disconnected());
    },
  };
}
