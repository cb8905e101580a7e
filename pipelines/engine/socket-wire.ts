import type { WebSocket } from 'ws';
import type { Wire } from './wire.ts';

/** A WebSocket of the server side as a wire; messages are JSON text. */
export function socketWire(socket: WebSocket): Wire {
  return {
    send: (message) => {
      if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message));
    },
    onMessage: (listener) => {
      socket.on('message', (data, isBinary) => listener(isBinary ? undefined : parse(String(data))));
    },
    onClose: (listener) => {
      socket.on('close', listener);
      // An error is always followed by close.
      socket.on('error', () => {});
    },
    close: () => socket.close(),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
