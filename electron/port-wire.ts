import type { MessagePortMain } from 'electron';

/** A two-way line of plain messages over a `MessagePortMain`, the shape that every engine line has. */
export interface PortWire<Out, In> {
  send(message: Out): void;
  onMessage(listener: (message: In) => void): void;
  onClose(listener: () => void): void;
  close(): void;
}

/** Messages that arrive before the first listener are kept by the port until it is started. */
export function portWire<Out = unknown, In = unknown>(port: MessagePortMain): PortWire<Out, In> {
  let started = false;
  return {
    send: (message) => port.postMessage(message),
    onMessage(listener) {
      port.on('message', (event) => listener(event.data as In));
      if (!started) port.start();
      started = true;
    },
    onClose(listener) {
      port.on('close', () => listener());
    },
    close: () => port.close(),
  };
}
