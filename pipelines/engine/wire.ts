import { z } from 'zod';
import { NorthlightError, toPlainError } from '#models/errors.ts';
import { CONTRACT_VERSION, type ProcedureName, type WireMessage } from './contract.ts';
import type { Engine } from './engine.ts';

/** One window's line to the engine: a MessagePort in the app, a WebSocket in the browser. */
export interface Wire {
  send(message: WireMessage): void;
  /** Receives whatever arrived, unchecked. */
  onMessage(listener: (message: unknown) => void): void;
  onClose(listener: () => void): void;
  close(): void;
}

const incoming = z.discriminatedUnion('t', [
  z.object({ t: z.literal('hello'), version: z.number() }),
  z.object({ t: z.literal('call'), id: z.number().int(), m: z.string(), p: z.unknown() }),
]);

/**
 * Serves one window: says hello, waits for its hello, then answers calls and passes events on. A window of another contract
 * version is told so and cut off; so is one that sends anything else. A call that fails is answered with
 * `{ code, message, hint }`.
 */
export function serveWire(wire: Wire, engine: Engine): void {
  let greeted = false;
  let open = true;
  const send = (message: WireMessage) => {
    if (open) wire.send(message);
  };
  const unsubscribe = engine.subscribe((topic, d) => {
    if (greeted) send({ t: 'ev', topic, d });
  });
  wire.onClose(() => {
    open = false;
    unsubscribe();
  });
  wire.onMessage((raw) => {
    const parsed = incoming.safeParse(raw);
    if (!parsed.success) return wire.close();
    const message = parsed.data;
    if (message.t === 'hello') {
      greeted = message.version === CONTRACT_VERSION;
      // Its own hello from us carries our version, so the window can say what is wrong.
      if (!greeted) wire.close();
    } else if (!greeted) {
      wire.close();
    } else {
      void answer(engine, message.id, message.m, message.p).then(send);
    }
  });
  send({ t: 'hello', version: CONTRACT_VERSION });
}

async function answer(engine: Engine, id: number, name: string, input: unknown): Promise<WireMessage> {
  try {
    // The engine checks both the name and the input.
    return { t: 'ok', id, r: await engine.call(name as ProcedureName, input as never) };
  } catch (error) {
    if (!(error instanceof NorthlightError)) console.error(error);
    return { t: 'err', id, e: toPlainError(error) };
  }
}

interface DomPort {
  postMessage(message: unknown): void;
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void;
  addEventListener(type: 'close', listener: () => void): void;
  start(): void;
  close(): void;
}

/** A MessagePort of the web or of Node's `worker_threads`. */
export function portWire(port: DomPort): Wire {
  return {
    send: (message) => port.postMessage(message),
    onMessage: (listener) => {
      port.addEventListener('message', (event) => listener(event.data));
      port.start();
    },
    onClose: (listener) => port.addEventListener('close', listener),
    close: () => port.close(),
  };
}
