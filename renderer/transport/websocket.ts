import type { WireMessage } from '#pipelines/engine/contract.ts';
import type { Transport } from './wire.ts';

/** Lines over a WebSocket, for the window in a browser: one JSON text frame per message. */
export function webSocketTransport(url: string): Transport {
  return (events) => {
    const socket = new WebSocket(url);
    socket.onopen = () => events.opened();
    socket.onmessage = (event) => events.message(JSON.parse(String(event.data)) as WireMessage);
    // An error is always followed by a close, which says the same once.
    socket.onclose = (event) => events.closed(event.reason || `closed (${event.code})`);
    return {
      send: (message) => socket.send(JSON.stringify(message)),
      close: () => socket.close(),
    };
  };
}

/** The engine's address for a page it served: the same host. The page's cookie is what lets it in. */
export function webSocketUrl(page: { readonly protocol: string; readonly host: string }): string {
  return `${page.protocol === 'https:' ? 'wss:' : 'ws:'}//${page.host}/ws`;
}
