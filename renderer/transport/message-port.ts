import type { WireMessage } from '#pipelines/engine/contract.ts';
import type { Transport } from './wire.ts';

/** Lets the preload's message through and nothing else: same window, the agreed word, exactly one port. */
function enginePort(event: MessageEvent): MessagePort | null {
  const word = typeof event.data === 'object' && event.data !== null ? event.data.type : event.data;
  return event.source === window && word === 'engine:port' ? (event.ports[0] ?? null) : null;
}

/**
 * Lines over a MessagePort, for the desktop window. The preload posts `engine:port` with the port when the engine is up,
 * and again with a new port when the engine was restarted; the new port replaces the old line.
 */
export function messagePortTransport(): Transport {
  let waiting: MessagePort | null = null;
  let take: ((port: MessagePort) => void) | null = null;
  // Listens from the start: the port may arrive before the window has drawn anything.
  window.addEventListener('message', (event) => {
    const port = enginePort(event);
    if (!port) return;
    if (take) take(port);
    else waiting = port;
  });

  return (events) => {
    let port: MessagePort | null = null;
    const close = () => {
      take = null;
      port?.close();
    };
    const use = (next: MessagePort) => {
      if (port) {
        // A second port means a new engine: end this line, and keep the port for the next one.
        waiting = next;
        close();
        events.closed('the engine was restarted');
        return;
      }
      port = next;
      port.onmessage = (event) => events.message(event.data as WireMessage);
      port.addEventListener('close', () => {
        if (take) {
          close();
          events.closed('the engine has stopped');
        }
      });
      port.start();
      events.opened();
    };
    take = use;
    if (waiting) {
      const first = waiting;
      waiting = null;
      // Not at once: the caller does not hold the channel yet.
      queueMicrotask(() => use(first));
    }
    return { send: (message) => port?.postMessage(message), close };
  };
}
