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

/** The engine's address for a page it served: same host, and the page's own token when its address carries one. */
export function webSocketUrl(page: { protocol: string; host: string; search: string }): string {
  const token = new URLSearchParams(page.search).get('token');
  const scheme = page.protocol === 'https:' ? 'wss:' : 'ws:';
  return `${scheme}//${page.host}/ws${token ? `?token=${encodeURIComponent(token)}` : ''}`;
}
